import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from config.errors import InvalidInput
from config.settings import Settings
from pipeline.contract.keys import MAX_BYTES, review_key
from pipeline.reviews.review import Mark, Review, Verdict, change_review, marked, read_review
from pipeline.store.base import Always, Condition, IfAbsent
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from pipeline.store.open import open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEEP, REJECT = Mark(Verdict.KEEP), Mark(Verdict.REJECT, "six fingers")
REVIEWER = """
import sys
from config.settings import load_settings
from pipeline.reviews.review import Mark, Verdict, change_review
from pipeline.store.open import open_store
import os
store = open_store(load_settings(os.environ))
store.now()
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    change_review(store, "job", "acme", {f"{sys.argv[1]}-{number}": Mark(Verdict.KEEP)})
"""


@pytest.fixture
def store() -> SafeStore:
    return SafeStore(MemoryStore(lambda: NOON), monotonic=lambda: 0.0)


def test_before_anybody_reviewed_there_is_no_review(store: SafeStore) -> None:
    assert read_review(store, "job") is None


def test_a_review_grows_by_each_change(store: SafeStore) -> None:
    change_review(store, "job", "acme", {"front": KEEP, "back": REJECT})
    change_review(store, "job", "acme", {"back": None, "left": REJECT})
    review = read_review(store, "job")
    assert review is not None
    assert (review.job, review.tenant, review.version) == ("job", "acme", 1)
    assert {id: view.verdict for id, view in review.views.items()} == {
        "front": Verdict.KEEP,
        "left": Verdict.REJECT,
    }
    assert (review.views["left"].note, review.views["left"].at) == ("six fingers", NOON)


def test_what_is_said_again_keeps_its_time_and_writes_nothing(store: SafeStore) -> None:
    change_review(store, "job", "acme", {"front": REJECT})
    before = store.get(review_key("job"))
    change_review(store, "job", "acme", {"front": Mark(Verdict.REJECT)})
    after = store.get(review_key("job"))
    assert before is not None
    assert after is not None
    assert before.etag == after.etag


def test_the_note_of_the_other_verdict_goes(store: SafeStore) -> None:
    change_review(store, "job", "acme", {"front": REJECT})
    assert change_review(store, "job", "acme", {"front": KEEP}).views["front"].note == ""


def test_fields_of_a_later_version_stay(store: SafeStore) -> None:
    later: dict[str, Any] = {
        "version": 2,
        "job": "job",
        "tenant": "acme",
        "seen_by": "ann",
        "views": {"front": {"verdict": "keep", "at": NOON.isoformat(), "stars": 3}},
    }
    store.raw.put(review_key("job"), json.dumps(later).encode(), Always())
    change_review(store, "job", "acme", {"front": REJECT, "back": KEEP})
    stored = store.get(review_key("job"))
    assert stored is not None
    document = json.loads(stored.body)
    assert (document["version"], document["seen_by"]) == (2, "ann")
    assert (document["views"]["front"]["stars"], document["views"]["front"]["verdict"]) == (
        3,
        "reject",
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 5000,
        b"{}" + b" " * MAX_BYTES,
        json.dumps({"job": "other", "tenant": "acme"}).encode(),
        json.dumps({"job": "job", "tenant": "acme", "views": {"../x": {}}}).encode(),
        json.dumps(
            {
                "job": "job",
                "tenant": "acme",
                "views": {f"v{n}": {"verdict": "keep", "at": NOON.isoformat()} for n in range(41)},
            }
        ).encode(),
    ],
    ids=["cut", "deep", "large", "another job", "no view", "too many"],
)
def test_what_is_no_review_is_told_and_neither_passed_over_nor_written_over(
    store: SafeStore, body: bytes
) -> None:
    store.raw.put(review_key("job"), body, Always())
    with pytest.raises(InvalidInput, match="is no review of this job"):
        read_review(store, "job")
    with pytest.raises(InvalidInput):
        change_review(store, "job", "acme", {"front": KEEP})
    stored = store.get(review_key("job"))
    assert stored is not None
    assert stored.body == body


def test_a_review_of_another_tenant_is_not_changed(store: SafeStore) -> None:
    change_review(store, "job", "other", {"front": KEEP})
    with pytest.raises(InvalidInput):
        change_review(store, "job", "acme", {"front": REJECT})


def test_a_note_that_is_too_long_is_itself_at_fault_and_not_the_review() -> None:
    with pytest.raises(InvalidInput, match="the note on a has 501 characters") as refused:
        marked(Review(job="job", tenant="acme"), {"a": Mark(Verdict.KEEP, "x" * 501)}, NOON)
    assert (refused.value.field, refused.value.hint) == ("note", "Shorten it.")


class _Overtaken(MemoryStore):
    """Somebody else reviews just before each of the first writes."""

    left = 3

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Any:
        if self.left and not isinstance(condition, Always):
            self.left -= 1
            standing = self.get(key)
            review = (
                Review(job="job", tenant="acme")
                if standing is None
                else Review.model_validate_json(standing.body)
            )
            theirs = marked(review, {f"theirs-{self.left}": KEEP}, NOON)
            super().put(key, theirs.body(), Always())
            assert standing is not None or isinstance(condition, IfAbsent)
        return super().put(key, body, condition, content_type)


def test_a_lost_race_is_made_again_on_what_stands_by_then() -> None:
    store = SafeStore(_Overtaken(lambda: NOON))
    review = change_review(store, "job", "acme", {"mine": REJECT})
    assert set(review.views) == {"mine", "theirs-0", "theirs-1", "theirs-2"}
    assert read_review(store, "job") == review


@pytest.mark.parametrize(
    ("threads", "rounds", "names"),
    [(2, 2, ("p0",)), pytest.param(4, 4, ("p0", "p1"), marks=pytest.mark.thorough)],
)
def test_reviewers_at_once_on_a_real_store_lose_nothing(
    bucket: Settings, threads: int, rounds: int, names: tuple[str, ...]
) -> None:
    together = Barrier(threads)

    def review(who: int) -> None:
        store = open_store(bucket)
        together.wait()
        for number in range(rounds):
            change_review(store, "job", "acme", {f"t{who}-{number}": Mark(Verdict.KEEP)})

    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REVIEWER, name, str(rounds)],
            env={**bucket.environ(), "PYTHONPATH": str(Path(__file__).parents[3])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    with ThreadPoolExecutor(threads) as pool:
        done = [pool.submit(review, who) for who in range(threads)]
        ends = [process.communicate(b"\n", timeout=60) for process in processes]
        for each in done:
            each.result()
    assert {process.returncode for process in processes} == {0}, ends
    found = read_review(open_store(bucket), "job")
    assert found is not None
    assert set(found.views) == {
        *(f"t{who}-{number}" for who in range(threads) for number in range(rounds)),
        *(f"{name}-{number}" for name in names for number in range(rounds)),
    }

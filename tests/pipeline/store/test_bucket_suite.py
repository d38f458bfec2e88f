import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.errors import StoreDenied, StoreNotConditional
from pipeline.local.seaweed import SeaweedServer
from pipeline.store.base import (
    ALWAYS,
    Always,
    Busy,
    Condition,
    Entry,
    IfAbsent,
    IfMatch,
    Page,
    PreconditionFailed,
    Stored,
    Written,
)
from pipeline.store.bucket_checks import CHECKS
from pipeline.store.bucket_suite import LostReplies, Verdict, run_suite
from pipeline.store.memory import MemoryStore
from pipeline.store.s3 import S3Store
from tests.support.seaweed import fresh_bucket

FAILED, WARNING = Verdict.FAILED, Verdict.WARNING
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPTIONAL = {"conditional DELETE", "odd names"}


class Clock:
    """Goes on when somebody sleeps."""

    def __init__(self) -> None:
        self._now = NOON

    def __call__(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def not_well(
    make: Callable[[Callable[[], datetime]], MemoryStore], rounds: int = 2
) -> dict[str, Verdict]:
    """Checks that found something, after which nothing was left."""
    clock = Clock()
    store = make(clock)
    findings = run_suite(store, LostReplies(store), rounds=rounds, sleep=clock.sleep)
    found = {each.check: each.health for each in findings}
    assert [*found] == [check.name for check in CHECKS]
    assert store.list("").entries == ()
    return {check: health for check, health in found.items() if health is not Verdict.OK}


def test_a_store_that_keeps_everything_passes_and_is_left_as_it_was() -> None:
    assert not_well(MemoryStore, rounds=5) == {}


def test_seaweedfs_passes_with_replies_really_lost(seaweed: SeaweedServer, tmp_path: Path) -> None:
    settings = fresh_bucket(seaweed, tmp_path)
    store = S3Store(settings)
    deaf = S3Store(settings, read_timeout_s=0.001)
    found = list(run_suite(store, deaf, racers=3, rounds=2))
    assert {each.check: each.found for each in found if each.health is not Verdict.OK} == {}
    assert store.list("").entries == ()


def test_each_finding_says_what_rests_on_it() -> None:
    store = MemoryStore()
    for each in run_suite(store, LostReplies(store), rounds=1, sleep=lambda _: None):
        assert each.found
        assert each.carries


class CheckThenAct(MemoryStore):
    """Looks first and acts later, as if nobody else wrote."""

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        current = self.get(key)
        etag = None if current is None else current.etag
        if isinstance(condition, IfAbsent) and etag is not None:
            raise PreconditionFailed(key)
        if isinstance(condition, IfMatch) and etag != condition.etag:
            raise PreconditionFailed(key)
        time.sleep(0.002)
        return super().put(key, body, ALWAYS, content_type)


def test_a_store_that_looks_first_and_acts_later_fails_its_races_alone() -> None:
    found = not_well(CheckThenAct, rounds=5)
    found = {check: health for check, health in found.items() if health is FAILED}
    assert found.keys() == {"racing creates", "racing replaces", "counter under If-Match"}


class Unsorted(MemoryStore):
    """Folders first, and the rest by its letters."""

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        page = super().list(prefix)
        entries = sorted(page.entries, key=lambda entry: entry.key.replace(".", "~"))
        return Page(tuple(e for e in entries if e.key > start_after)[:limit], False, page.date)


class ForgetfulOfIfMatch(MemoryStore):
    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        if isinstance(condition, IfMatch):
            raise StoreNotConditional("501")
        super().delete(key)

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        if isinstance(condition, IfMatch):
            time.sleep(0.002)
            condition = ALWAYS
        return super().put(key, body, condition, content_type)


class LateListing(MemoryStore):
    """A listing shows what was there before the last write."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._before: tuple[Entry, ...] = ()

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        self._before = tuple(super().list("").entries)
        return super().put(key, body, condition, content_type)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        page = super().list(prefix, start_after=start_after, limit=limit)
        if prefix == "" or not prefix.endswith("listed/"):
            return page
        shown = tuple(entry for entry in self._before if entry.key.startswith(prefix))
        return Page(shown, False, page.date)


class LateReading(MemoryStore):
    """What was overwritten or deleted is read once more."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock)
        self._old: dict[str, Stored] = {}

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        stored = super().get(key)
        super().delete(key, condition)
        if stored is not None and key.endswith("/read"):
            self._old[key] = stored

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        return self._old.pop(key, None) or super().get(key, offset=offset, limit=limit)


class WholeOnly(MemoryStore):
    """Knows no Range."""

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        return super().get(key)


class OtherEtags(MemoryStore):
    """LIST tells other ETags than PUT."""

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        page = super().list(prefix, start_after=start_after, limit=limit)
        told = (Entry(e.key, f"{e.etag}-1", e.size, e.last_modified) for e in page.entries)
        return Page(tuple(told), page.truncated, page.date)


class Careless(MemoryStore):
    """DELETE forgets its condition."""

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        super().delete(key)


class Choosy(MemoryStore):
    """Refuses names with a blank."""

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        if " " in key:
            raise StoreDenied("the store refused PutObject: 400 InvalidObjectName")
        return super().put(key, body, condition, content_type)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(Unsorted, {"order of a listing": FAILED}, id="unsorted"),
        pytest.param(
            ForgetfulOfIfMatch,
            {
                "conditional writes, in turn": FAILED,
                "racing replaces": FAILED,
                "counter under If-Match": FAILED,
                "conditional DELETE": WARNING,
            },
            id="forgets If-Match",
        ),
        pytest.param(LateListing, {"listings follow writes": FAILED}, id="lists late"),
        pytest.param(LateReading, {"reads follow writes": FAILED}, id="reads late"),
        pytest.param(WholeOnly, {"parts of an object": FAILED}, id="knows no Range"),
        pytest.param(
            OtherEtags,
            {
                "conditional writes, in turn": FAILED,
                "listings follow writes": FAILED,
                "ETags agree": FAILED,
            },
            id="two kinds of ETags",
        ),
        pytest.param(
            lambda _: MemoryStore(lambda: NOON), {"the store's clock": FAILED}, id="clock stands"
        ),
        pytest.param(Careless, {"conditional DELETE": WARNING}, id="plain DELETE"),
        pytest.param(Choosy, {"odd names": WARNING}, id="refuses odd names"),
    ],
)
def test_a_broken_promise_is_found_by_its_check(
    make: Callable[[Callable[[], datetime]], MemoryStore], expected: dict[str, Verdict]
) -> None:
    assert not_well(make) == expected


def test_a_store_of_few_writes_to_a_key_passes_and_is_told_so() -> None:
    class Seldom(MemoryStore):
        """As R2, fifty times faster."""

        def __init__(self) -> None:
            super().__init__()
            self._written: dict[str, float] = {}

        def put(
            self,
            key: str,
            body: bytes,
            condition: Condition,
            content_type: str = "application/json",
        ) -> Written:
            if time.monotonic() - self._written.get(key, 0.0) < 0.02:
                raise Busy("429 TooManyRequests")
            self._written[key] = time.monotonic()
            return super().put(key, body, condition, content_type)

    store = Seldom()
    findings = run_suite(
        store, LostReplies(store), racers=2, rounds=2, sleep=lambda s: time.sleep(s / 50)
    )
    found = {each.check: each for each in findings if each.check != "the store's clock"}
    assert {each.found for each in found.values() if each.health is not Verdict.OK} == set()
    assert "1 of them told to come again" in found["writes to one key"].found


def test_what_was_written_is_removed_also_when_nobody_waits_for_the_end() -> None:
    store = MemoryStore()
    findings = run_suite(store, LostReplies(store), rounds=2, sleep=lambda _: None)
    for each in findings:
        if each.check == "order of a listing":
            break
    assert store.list("checks/").entries
    findings.close()
    assert store.list("").entries == ()


def test_a_store_that_refuses_us_fails_every_check() -> None:
    class Closed(MemoryStore):
        def put(
            self,
            key: str,
            body: bytes,
            condition: Condition,
            content_type: str = "application/json",
        ) -> Written:
            raise StoreDenied("403")

    found = not_well(Closed)
    assert {check for check, health in found.items() if health is FAILED} == {
        check.name for check in CHECKS if check.name not in OPTIONAL
    }

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from pipeline.contract.spend_entry import BODY, MARKS, SpendEntry, spend_day, spend_prefix
from pipeline.queue import spend_parts
from pipeline.queue.ended_costs import EndedCosts
from pipeline.queue.spend_parts import SpendParts
from pipeline.store.base import ALWAYS
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.pipeline_fixture import CountingStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = date(2026, 3, 1)
DAY = spend_day(TODAY)
MARKED = f"{MARKS}2026-03-01.json"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


class Bucket:
    def __init__(self, count: int = 0) -> None:
        self.memory = MemoryStore(lambda: NOON)
        self.counting = CountingStore(self.memory)
        self.store = SafeStore(self.counting)
        self.units = 0
        for n in range(count):
            self.end(n)

    def end(self, n: int, tenant: str = "acme") -> None:
        entry = SpendEntry(TODAY, f"job-{n:05}", n % 7, tenant=tenant, platform="modal")
        self.memory.put(entry.key, BODY, ALWAYS)
        self.units += entry.units

    def read(
        self,
        parts: SpendParts,
        pool: ThreadPoolExecutor,
        prefix: str = DAY,
        asked: frozenset[str] = frozenset(),
    ) -> tuple[EndedCosts, int]:
        self.counting.calls.clear()
        costs, lists = parts.read(self.store, prefix, pool, asked)
        assert lists == self.counting.calls["LIST"]
        assert costs.units.total() == self.units
        return costs, lists


class KilledError(Exception):
    pass


def marks_of(bucket: Bucket) -> int:
    """How many stand in the bucket."""
    stored = bucket.memory.get(MARKED)
    return 0 if stored is None else len(json.loads(stored.body))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a page each, so that a test needs few objects."""
    monkeypatch.setattr(spend_parts, "PART", 1000)


def test_a_day_that_one_page_holds_costs_a_list_and_nothing_else(pool: ThreadPoolExecutor) -> None:
    bucket = Bucket(1000)

    assert bucket.read(SpendParts(), pool)[1] == 1
    assert bucket.counting.calls == {"LIST": 1}


def test_it_says_which_jobs_have_ended_of_those_that_matter(pool: ThreadPoolExecutor) -> None:
    bucket = Bucket(1500)
    costs, _ = bucket.read(SpendParts(), pool, asked=frozenset({"job-00003", "job-01400", "runs"}))

    assert costs.ended == {"job-00003", "job-01400"}
    assert bucket.counting.calls == {"LIST": 2, "GET": 1}
    assert dict(costs.units) == {(TODAY, "acme", "modal", None): bucket.units}


@pytest.mark.usefixtures("short")
def test_a_long_day_is_listed_in_parts_by_whoever_has_listed_it_and_by_those_who_start(
    pool: ThreadPoolExecutor,
) -> None:
    bucket, parts = Bucket(4500), SpendParts()

    assert bucket.read(parts, pool)[1] == 5
    assert marks_of(bucket) == 2
    assert 5 < bucket.read(parts, pool)[1] <= 5 + 2
    assert bucket.counting.calls["GET"] == bucket.counting.calls["PUT"] == 0

    started = SpendParts()
    assert 5 < bucket.read(started, pool)[1] <= 5 + 2
    assert bucket.counting.calls["GET"] == 1
    for n in range(4500, 4600):
        bucket.end(n)
    bucket.read(parts, pool)
    bucket.read(started, pool)


@pytest.mark.usefixtures("short")
def test_parts_that_grow_are_parted_and_marks_are_written_when_they_have_doubled(
    pool: ThreadPoolExecutor,
) -> None:
    bucket, parts, written = Bucket(), SpendParts(), list[int]()
    for grown in range(7):
        for n in range(1200):
            bucket.end(n * 10 + grown)
        bucket.read(parts, pool)
        if bucket.counting.calls["PUT"]:
            written.append(marks_of(bucket))

    assert len(written) >= 2
    assert all(later >= 2 * sooner for sooner, later in pairwise(written))


@pytest.mark.usefixtures("short")
def test_who_is_killed_in_a_first_look_leaves_marks_to_those_who_start_next(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spend_parts, "STRETCH", 2000)
    bucket = Bucket(8000)
    looks = 0

    def killed(call: str, key: str) -> Exception | None:
        return KilledError() if call == "LIST" and bucket.counting.calls["LIST"] > 5 else None

    bucket.counting.fail = killed
    while True:
        looks += 1
        try:
            bucket.read(SpendParts(), pool)
        except KilledError:
            assert marks_of(bucket) == 4
            if looks == 2:
                bucket.counting.fail = lambda call, key: None
        else:
            break

    assert looks == 3


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("seed", range(3))
def test_any_keys_whatever_cut_a_listing_so_that_each_object_counts_once(
    pool: ThreadPoolExecutor, seed: int
) -> None:
    random, bucket = Random(seed), Bucket()
    for n in range(2300):
        bucket.end(n, tenant=random.choice(["acme", "zoo"]))
    keys = [entry.key for entry in bucket.memory.list(DAY, limit=3000).entries]
    marks = [
        *random.sample(keys, 9),
        keys[0],
        keys[-1],
        f"{DAY}a",
        f"{DAY}zzz",
        keys[5] + "x",
        f"{DAY}acme",
    ]
    bucket.memory.put(MARKED, json.dumps([*marks, marks[0], "jobs/x", 7]).encode(), ALWAYS)

    bucket.read(SpendParts(), pool)


def test_marks_of_the_first_page_and_of_other_days_make_no_parts(
    pool: ThreadPoolExecutor,
) -> None:
    bucket = Bucket(1500)
    keys = [entry.key for entry in bucket.memory.list(DAY).entries]
    tomorrow = SpendEntry(TODAY + timedelta(days=1), "a", 1).key
    bucket.memory.put(MARKED, json.dumps([keys[7], keys[-1], tomorrow]).encode(), ALWAYS)

    assert bucket.read(SpendParts(), pool)[1] == 2


def test_a_folder_s_name_is_no_mark_since_a_store_may_pass_over_what_it_holds(
    pool: ThreadPoolExecutor,
) -> None:
    bucket = Bucket(1000)
    bucket.end(1, tenant="zoo")
    bucket.memory.put(MARKED, json.dumps([f"{DAY}zoo"]).encode(), ALWAYS)

    assert bucket.read(SpendParts(), pool)[1] == 2


@pytest.mark.parametrize("body", [b"", b"\xff", b"7", b"{}", b"[" * 100_000, b'[["a"]]'])
def test_marks_that_are_none_cost_time_alone(pool: ThreadPoolExecutor, body: bytes) -> None:
    bucket = Bucket(1500)
    bucket.memory.put(MARKED, body, ALWAYS)

    assert bucket.read(SpendParts(), pool)[1] == 2


@pytest.mark.usefixtures("short")
def test_a_tenants_day_has_marks_of_its_own_and_another_days_are_forgotten(
    pool: ThreadPoolExecutor,
) -> None:
    bucket, parts = Bucket(3200), SpendParts()
    tenants = spend_prefix(TODAY, "acme")
    for prefix in (tenants, DAY):
        bucket.read(parts, pool, prefix)
    assert bucket.memory.get(f"{MARKS}2026-03-01.acme.json") is not None

    parts.forget_others([DAY, spend_prefix(TODAY, "zoo")])
    bucket.read(parts, pool, DAY)
    assert bucket.counting.calls["GET"] == 0
    bucket.read(parts, pool, tenants)
    assert bucket.counting.calls["GET"] == 1


def test_an_object_that_is_no_job_s_counts_nothing(pool: ThreadPoolExecutor) -> None:
    bucket = Bucket(3)
    bucket.memory.put(f"{DAY}acme/by-hand.txt", b"?", ALWAYS)

    assert bucket.read(SpendParts(), pool)[1] == 1

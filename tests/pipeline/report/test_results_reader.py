from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from pipeline.contract.keys import lease_key, manifest_key, result_key
from pipeline.contract.result import Result
from pipeline.contract.spend_entry import BODY, EVER, SpendEntry, since_key
from pipeline.contract.tombstone import begun_tombstone, tombstone_body
from pipeline.notify.spend_note import note_spend
from pipeline.report.results_reader import AHEAD, ResultsReader
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.pipeline_fixture import CountingStore
from tests.support.report_results import NOON, result


class Bucket:
    """Results that ended an hour apart, the last at NOON."""

    def __init__(self, count: int, *, noted: bool = True) -> None:
        self.now = NOON
        self.memory = MemoryStore(lambda: self.now)
        self.counting = CountingStore(self.memory)
        self.store = SafeStore(self.counting)
        if noted:
            self.memory.put(since_key(EVER), BODY, Always())
        for n in range(count):
            self.end(result(f"job-{n}", finished_at=NOON - timedelta(hours=count - 1 - n)), noted)
        self.now = NOON
        self.counting.calls.clear()

    def end(self, ended: Result, noted: bool = True) -> None:
        self.now = ended.finished_at
        self.memory.put(manifest_key(ended.id), b"{}", Always())
        self.memory.put(result_key(ended.id), ended.body(), Always())
        if noted:
            self.memory.put(SpendEntry.of(ended).key, BODY, Always())

    def forget(self, ended: Result) -> None:
        self.now = NOON
        forgotten = begun_tombstone(
            ended.id, ended, tenant=None, nonce="n", now=NOON, quiet_at=NOON, left=()
        )
        self.memory.put(result_key(ended.id), tombstone_body(forgotten), Always())

    def reading(self, since: datetime, **options: object) -> ResultsReader:
        return ResultsReader(self.store, since, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("noted", [True, False])
def test_only_results_of_jobs_that_ended_since_then_are_told(noted: bool) -> None:
    bucket = Bucket(10, noted=noted)
    reading = bucket.reading(NOON - timedelta(hours=2))

    assert sorted(each.id for each in reading) == ["job-7", "job-8", "job-9"]
    assert (reading.found, reading.unreadable, reading.lists_jobs) == (3, 0, not noted)


@pytest.mark.parametrize("noted", [True, False])
def test_a_span_can_end(noted: bool) -> None:
    bucket = Bucket(10, noted=noted)
    reading = bucket.reading(NOON - timedelta(hours=3), until=NOON - timedelta(hours=1))

    assert sorted(each.id for each in reading) == ["job-6", "job-7"]


def test_what_is_read_depends_on_the_days_and_not_on_all_that_ever_ended() -> None:
    few, many = Bucket(5), Bucket(5)
    for n in range(3000):
        day = NOON.date() - timedelta(days=2 + n % 900)
        many.memory.put(SpendEntry(day, f"old-{n}", 1).key, BODY, Always())
        many.memory.put(result_key(f"old-{n}"), b"?", Always())
    calls = []
    for bucket in (few, many):
        bucket.now = NOON
        bucket.counting.calls.clear()
        assert len(list(bucket.reading(NOON - timedelta(hours=12)))) == 5
        calls.append(dict(bucket.counting.calls))

    assert calls == [{"LIST": 3, "GET": 5}] * 2


def test_a_span_over_many_idle_days_costs_no_more_than_its_jobs() -> None:
    bucket = Bucket(5)

    assert len(list(bucket.reading(NOON - timedelta(days=3000)))) == 5
    assert bucket.counting.calls == {"LIST": 3, "GET": 5}


def test_thousands_of_one_day_are_listed_page_by_page_and_few_are_held() -> None:
    bucket, readers, sample = Bucket(0), 2, result("job-0000")
    for n in range(1100):
        id, body = f"job-{n:04}", sample.body().replace(b"job-0000", b"job-%04d" % n)
        bucket.memory.put(result_key(id), body, Always())
        bucket.memory.put(SpendEntry.of(sample).key.replace("job-0000", id), BODY, Always())
    reading = iter(bucket.reading(NOON - timedelta(hours=2), readers=readers))

    assert len(list(islice(reading, 5))) == 5
    assert len(bucket.counting.gets) <= 5 + readers * AHEAD
    assert bucket.counting.calls["LIST"] == 3
    assert len(list(reading)) == 1095
    assert bucket.counting.calls["LIST"] == 4


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_a_span_begins_and_ends_on_the_second_also_at_midnight(seconds: int) -> None:
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    bucket = Bucket(0)
    for each in (-1, 0, 1):
        bucket.end(result(f"at{each}", finished_at=midnight + timedelta(seconds=each)))
    at = midnight + timedelta(seconds=seconds)

    after = [each.finished_at for each in bucket.reading(at)]
    before = [each.finished_at for each in bucket.reading(midnight - timedelta(9), until=at)]

    assert all(ended >= at for ended in after)
    assert all(ended < at for ended in before)
    assert len(after) + len(before) == 3


def test_a_job_whose_end_is_after_midnight_by_another_clock_is_in_it() -> None:
    bucket = Bucket(0)
    now = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
    bucket.end(result("ahead", finished_at=now + timedelta(seconds=2)))
    bucket.now = now

    assert [each.id for each in bucket.reading(now - timedelta(hours=1))] == ["ahead"]


def test_a_job_that_has_just_ended_is_found_by_its_lease_until_it_is_noted() -> None:
    bucket = Bucket(3)
    bucket.end(result("ended"), noted=False)
    bucket.memory.put(lease_key("ended"), b"{}", Always())
    bucket.memory.put(lease_key("running"), b"{}", Always())
    bucket.memory.put(lease_key("job-2"), b"{}", Always())
    bucket.memory.put(lease_key("delivering"), b"{ }", Always())
    reading = bucket.reading(NOON - timedelta(hours=1))

    assert sorted(each.id for each in reading) == ["ended", "job-1", "job-2"]
    assert (reading.found, reading.unreadable) == (3, 0)
    assert sorted(bucket.counting.gets) == [
        result_key(id) for id in ("ended", "job-0", "job-1", "job-2", "running")
    ]


@pytest.mark.parametrize("noted", [True, False])
def test_a_forgotten_job_counts_where_it_ended(noted: bool) -> None:
    bucket = Bucket(10, noted=noted)
    for n in (2, 8):
        bucket.forget(result(f"job-{n}", finished_at=NOON - timedelta(hours=9 - n)))

    found = {each.id: each.cost for each in bucket.reading(NOON - timedelta(hours=2))}

    assert sorted(found) == ["job-7", "job-8", "job-9"]
    assert found["job-8"] == result("job-8").cost


def test_a_job_with_several_objects_counts_once() -> None:
    bucket = Bucket(0)
    ended = result("one", platform="modal")
    other = ended.model_copy(update={"platform": "runpod"})
    bucket.end(ended)
    bucket.memory.put(SpendEntry.of(other).key, BODY, Always())
    older = result("two")
    bucket.end(older, noted=False)
    for platform in ("local", "modal"):
        named = older.model_copy(update={"platform": platform})
        bucket.memory.put(SpendEntry.of(named).key, BODY, Always())
    again = result("again")
    bucket.end(result("again", finished_at=NOON - timedelta(days=1)))
    bucket.end(again)

    found = [each.id for each in bucket.reading(NOON - timedelta(days=9))]

    assert sorted(found) == ["again", "one", "two"]


def test_what_is_no_result_is_counted_and_named_with_what_it_cost() -> None:
    bucket = Bucket(2)
    note_spend(bucket.store, result("gone", usd=0.25))
    bucket.memory.put("spend/2026-11-20/acme/by-hand.txt", b"?", Always())
    reading = bucket.reading(NOON - timedelta(hours=1))

    assert len(list(reading)) == 2
    assert (reading.found, reading.unreadable) == (3, 1)
    assert (reading.named, reading.unreadable_usd) == ([result_key("gone")], 0.25)


def test_without_the_word_that_nothing_is_missing_all_of_jobs_is_listed_and_that_is_told() -> None:
    bucket = Bucket(600, noted=False)  # two objects each, so more than a page
    bucket.memory.put(result_key("odd"), b'{"v": 9}', Always())
    reading = bucket.reading(NOON - timedelta(days=99))

    assert sum(1 for _ in reading) == 600
    assert (reading.objects, reading.unreadable, reading.named) == (1201, 1, [result_key("odd")])
    assert bucket.counting.calls["LIST"] == 3
    assert "ryla spend --rebuild --since 2026-08-13" in (reading.why_listed or "")


@pytest.mark.parametrize(("whole", "lists"), [("19", False), ("20", False), ("21", True)])
def test_spend_is_gone_by_for_days_that_it_holds_whole(whole: str, lists: bool) -> None:
    bucket = Bucket(3, noted=False)
    bucket.memory.put(f"spend/since/2026-11-{whole}", BODY, Always())
    for each in ("job-0", "job-1", "job-2"):
        hour = NOON - timedelta(hours=2 - int(each[-1]))
        note_spend(bucket.store, result(each, finished_at=hour))
    reading = bucket.reading(NOON.replace(hour=0))

    assert len(list(reading)) == 3
    assert reading.lists_jobs is lists
    assert (reading.why_listed is None) is not lists

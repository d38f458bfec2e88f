from datetime import datetime, timedelta
from itertools import islice

from pipeline.contract.keys import manifest_key, result_key
from pipeline.contract.tombstone import begun_tombstone, tombstone_body
from pipeline.report.results_reader import AHEAD, ResultsReader
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.pipeline_fixture import CountingStore
from tests.support.report_results import NOON, result


class Bucket:
    """Results written an hour apart, the last at NOON."""

    def __init__(self, count: int) -> None:
        self.now = NOON
        self.memory = MemoryStore(lambda: self.now)
        self.counting = CountingStore(self.memory)
        self.store = SafeStore(self.counting)
        for n in range(count):
            self.now = NOON - timedelta(hours=count - 1 - n)
            self.memory.put(manifest_key(f"job-{n}"), b"{}", Always())
            self.memory.put(result_key(f"job-{n}"), result(f"job-{n}").body(), Always())

    def reading(self, since: datetime, **options: object) -> ResultsReader:
        return ResultsReader(self.store, since, **options)  # type: ignore[arg-type]


def test_only_results_since_then_are_read() -> None:
    bucket = Bucket(10)
    reading = bucket.reading(NOON - timedelta(hours=2))

    ids = [each.id for each in reading]

    assert ids == ["job-7", "job-8", "job-9"]
    assert sorted(bucket.counting.gets) == [result_key(id) for id in ids]
    assert (reading.objects, reading.found, reading.unreadable) == (20, 3, 0)


def test_a_span_can_end() -> None:
    reading = Bucket(10).reading(NOON - timedelta(hours=3), until=NOON - timedelta(hours=1))

    assert [each.id for each in reading] == ["job-6", "job-7"]


def test_a_forgotten_job_counts_where_it_ended() -> None:
    bucket = Bucket(10)
    for n in (2, 8):
        bucket.now = NOON
        ended = result(f"job-{n}", finished_at=NOON - timedelta(hours=9 - n))
        forgotten = begun_tombstone(
            ended.id, ended, tenant=None, nonce="n", now=NOON, quiet_at=NOON, left=()
        )
        bucket.memory.put(result_key(ended.id), tombstone_body(forgotten), Always())

    found = {each.id: each.cost for each in bucket.reading(NOON - timedelta(hours=2))}

    assert [*found] == ["job-7", "job-8", "job-9"]
    assert found["job-8"] == result("job-8").cost


def test_it_holds_a_few_results_at_a_time() -> None:
    bucket = Bucket(100)
    readers = 2

    first = list(islice(bucket.reading(NOON - timedelta(days=9), readers=readers), 5))

    assert len(first) == 5
    assert len(bucket.counting.gets) <= 5 + readers * AHEAD


def test_what_is_no_result_is_counted_and_named() -> None:
    bucket = Bucket(2)
    bucket.memory.put(result_key("odd"), b'{"v": 9}', Always())
    reading = bucket.reading(NOON - timedelta(hours=1))

    assert len(list(reading)) == 2
    assert (reading.found, reading.unreadable, reading.named) == (3, 1, [result_key("odd")])


def test_results_are_found_on_every_page() -> None:
    bucket = Bucket(600)  # two objects each, so more than a page

    assert sum(1 for _ in bucket.reading(NOON - timedelta(days=99))) == 600
    assert bucket.counting.calls["LIST"] == 2

"""Jobs that are over and owe their events hold no place and keep nobody waiting."""

from collections.abc import Sequence
from typing import Any

import pytest

from events.sink import MemorySink, NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import lease_key, manifest_key, result_key
from pipeline.contract.lease import Phase
from pipeline.dispatcher.replays import REPLAYS_PER_TICK
from pipeline.store.base import Always
from tests.events.builders import completed
from tests.pipeline.conftest import MakePipeline
from tests.support.jobs import a_lease, a_result
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

FOUR_PLACES = "[routes.Flux]\nmax_in_flight = 4\n"


class Away(MemorySink):
    """PostHog as it is, or not."""

    def __init__(self) -> None:
        super().__init__()
        self.down = True
        self.requests = 0

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        self.requests += 1
        if self.down:
            raise NotDelivered("503: busy", status=503)
        return super().deliver(events)


def owe(pipeline: PipelineFixture, id: str, **changes: Any) -> None:
    """A job that is over, but for its events."""
    names = {"id": id, "entry": f"inbox/{id}.json", "phase": Phase.RETRY, "committed": True}
    lease = a_lease(**{**names, "not_before": pipeline.now, **changes})
    result = a_result(id=id, events=(completed(id),))
    for key, stored in (
        (manifest_key(id), body()),
        (result_key(id), result.body()),
        (lease_key(id), lease.body()),
    ):
        pipeline.raw._store.put(key, stored, Always())


@pytest.mark.parametrize("owing", [100, pytest.param(1500, marks=pytest.mark.thorough)])
def test_with_posthog_away_many_owed_events_cost_one_request_a_pause_and_few_calls_a_tick(
    make_pipeline: MakePipeline, owing: int
) -> None:
    sink = Away()
    pipeline = make_pipeline(sink=sink, turned=True, holding=True)
    for n in range(owing):
        owe(pipeline, f"job-{n:04}")
    pipeline.tick()  # reads each lease once
    took, most = 1, 0
    began = pipeline.now
    tried_after = [0.0]
    for _ in range(190):
        pipeline.pass_time(1)
        pipeline.raw.calls.clear()
        before = sink.requests
        report = pipeline.tick()
        took += report.taken_over
        most = max(most, sum(pipeline.raw.calls.values()))
        if sink.requests > before:
            tried_after.append((pipeline.now - began).total_seconds())
        assert not report.active
    assert tried_after == [0, 2, 6, 14, 30, 62, 122, 182]
    assert took == sink.requests == len(tried_after)
    assert most <= 9, "four LISTs, a take-over of four calls, a read of the lease before it"

    sink.down = False
    pipeline.pass_time(4000)
    ticks = 0
    while pipeline.keys("leases/"):
        report = pipeline.tick()
        ticks += 1
        assert report.taken_over <= REPLAYS_PER_TICK
        assert report.active is (report.replays_left > 0)
        assert ticks < 60
    assert len(sink.events) == owing


@pytest.mark.parametrize("down", [False, True])
def test_jobs_take_as_many_ticks_with_posthog_away_as_with_it_there(
    make_pipeline: MakePipeline, down: bool
) -> None:
    sink = Away()
    sink.down = down
    pipeline = make_pipeline(sink=sink, turned=True, routes=FOUR_PLACES)
    for n in range(40):
        pipeline.submit(f"job-{n:02}")
    reports = []
    while pipeline.keys("inbox/"):
        reports.append(pipeline.tick())
        pipeline.pass_time(1)
    assert [report.spawned for report in reports] == [4] * 10
    assert sum(report.taken_over for report in reports) == down, "one to see whether it is there"
    assert len(pipeline.keys("leases/")) == (40 if down else 0)


def test_owed_events_take_no_place_and_come_after_all_jobs(make_pipeline: MakePipeline) -> None:
    sink = Away()
    sink.down = False
    pipeline = make_pipeline(sink=sink, holding=True, routes=FOUR_PLACES)
    pipeline.sender.best_effort([completed("any")])  # PostHog is known to be there
    pipeline.deliver()
    for n in range(10):
        owe(pipeline, f"over-{n}")
    retry = a_lease(id="again", entry="inbox/again.json", phase=Phase.RETRY, not_before=NOON)
    pipeline.raw._store.put(manifest_key("again"), body(), Always())
    pipeline.raw._store.put(lease_key("again"), retry.body(), Always())
    for n in range(10):
        pipeline.submit(f"new-{n}")
    pipeline.pool._max_workers = 1
    written: list[str] = []

    def note(call: str, key: str) -> None:
        if call == "PUT" and key.startswith("leases/"):
            written.append(key.removeprefix("leases/").partition("-")[0].removesuffix(".json"))

    pipeline.raw.fail = note
    report = pipeline.tick()
    assert (report.spawned, report.taken_over, report.in_flight) == (4, 11, 0)
    assert written[:14] == ["again", "new", "new", "new", *["over"] * 10]
    assert pipeline.tick().in_flight == 4


def test_a_take_over_of_owed_events_needs_no_place(make_pipeline: MakePipeline) -> None:
    sink = Away()
    sink.down = False
    pipeline = make_pipeline(sink=sink, holding=True, routes=FOUR_PLACES)
    for n in range(4):
        pipeline.submit(f"new-{n}")
    pipeline.tick()
    owe(pipeline, "over")
    assert pipeline.tick().taken_over == 1
    assert "leases/over.json" not in pipeline.keys("leases/")


def test_an_entry_beside_owed_events_goes_even_while_posthog_pauses(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(sink=Away(), turned=True, holding=True, routes=FOUR_PLACES)
    pipeline.sender.best_effort([completed("any")])  # PostHog pauses from here on
    pipeline.deliver()
    owe(pipeline, "same")
    owe(pipeline, "other")
    pipeline.submit("same")
    pipeline.submit("other", body("a dog"))
    assert pipeline.tick().taken_over == 2
    assert pipeline.keys("inbox/") == []
    assert len(pipeline.rejected()) == 1
    assert pipeline.lease("same").deliveries == 1
    pipeline.pass_time(1.5)
    assert pipeline.tick().taken_over == 0

"""Events leave after the result stands, and only then does the lease go."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from events.outbox import StoredEvent
from events.posthog_sink import PostHogSink
from events.sink import MemorySink, NotDelivered
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.dispatcher.tick import tick
from pipeline.store.base import OutcomeUnknown
from tests.pipeline.conftest import MakePipeline
from tests.support.instant_comfyui import InstantEngine
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.posthog_receiver import Answer, PostHogReceiver


class FlakySink(MemorySink):
    """Takes nothing while it is down."""

    down = True

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        if self.down:
            raise NotDelivered("down")
        return super().deliver(events)


@pytest.fixture
def sink() -> FlakySink:
    return FlakySink()


@pytest.fixture
def flaky(make_pipeline: MakePipeline, sink: FlakySink) -> PipelineFixture:
    return make_pipeline(sink=sink, event_tries=3)


def replay(pipeline: PipelineFixture) -> None:
    pipeline.pass_time(4000)
    time.sleep(0.06)  # the sender's own pause
    pipeline.tick()


def test_a_result_whose_events_are_out_has_no_lease(
    flaky: PipelineFixture, sink: FlakySink
) -> None:
    sink.down = False
    flaky.submit("job-1")
    flaky.tick()
    assert flaky.keys("leases/") == []
    assert {event.uuid for event in sink.events} == {e.uuid for e in flaky.result("job-1").events}


def test_owed_events_stay_in_the_result_and_the_lease_says_so(flaky: PipelineFixture) -> None:
    flaky.submit("job-1")
    flaky.tick()
    lease = flaky.lease("job-1")
    assert flaky.result("job-1").status is Status.SUCCEEDED
    assert (lease.phase, lease.committed, lease.events) == (Phase.RETRY, True, ())
    assert lease.not_before is not None
    assert lease.not_before > flaky.now


def test_they_are_sent_again_when_due_and_no_worker_runs(
    flaky: PipelineFixture, sink: FlakySink
) -> None:
    flaky.submit("job-1")
    flaky.tick()
    assert flaky.tick().taken_over == 0
    sink.down = False
    replay(flaky)
    assert flaky.keys("leases/") == []
    assert len(sink.events) == 2
    assert isinstance(flaky.engine, InstantEngine)
    assert len(flaky.engine.endings) == 1


def test_they_are_given_up_after_so_many_tries_and_still_stand_in_the_result(
    flaky: PipelineFixture,
) -> None:
    flaky.submit("job-1")
    flaky.tick()
    replay(flaky)
    assert flaky.keys("leases/") == ["leases/job-1.json"]
    replay(flaky)
    assert flaky.keys("leases/") == []
    assert len(flaky.result("job-1").events) == 2


def test_pauses_between_replays_grow(flaky: PipelineFixture) -> None:
    flaky.submit("job-1")
    flaky.tick()
    first = flaky.lease("job-1").not_before
    assert first is not None
    first_pause = first - flaky.now
    replay(flaky)
    second = flaky.lease("job-1").not_before
    assert second is not None
    assert second - flaky.now > first_pause


def test_a_refusals_events_are_owed_like_any_others(
    flaky: PipelineFixture, sink: FlakySink
) -> None:
    flaky.submit("bad", b"{")
    flaky.tick()
    assert flaky.lease("bad").committed
    sink.down = False
    replay(flaky)
    assert flaky.keys("leases/") == []
    assert len(sink.events) == len(flaky.result("bad").events)


def test_a_store_that_is_away_when_the_lease_should_go_brings_it_back(
    flaky: PipelineFixture, sink: FlakySink
) -> None:
    sink.down = False
    flaky.submit("job-1")
    flaky.raw.fail = lambda call, key: (
        OutcomeUnknown("500") if (call, key) == ("DELETE", "leases/job-1.json") else None
    )
    flaky.tick()
    assert flaky.keys("leases/") == ["leases/job-1.json"]
    flaky.raw.fail = lambda call, key: None
    replay(flaky)
    assert flaky.keys("leases/") == []
    assert len(sink.events) == 2


# PostHog down


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostHogReceiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with PostHogReceiver() as server:
        yield server


def run_jobs(pipeline: PipelineFixture, ids: Sequence[str]) -> float:
    """Seconds until each has its result."""
    for id in ids:
        pipeline.submit(id)
    began = time.monotonic()
    while len(pipeline.keys("inbox/")) > 0:
        tick(pipeline.dispatcher)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("how", "jobs"), [("refuses connections", 100), ("hangs", 100), ("answers 503", 100)]
)
def test_with_posthog_down_nothing_slows_and_afterwards_each_event_arrives(
    make_pipeline: MakePipeline, receiver: PostHogReceiver, how: str, jobs: int
) -> None:
    ids = [f"job-{n:03}" for n in range(jobs)]
    healthy = make_pipeline(sink=PostHogSink("key", receiver.url))
    usual = run_jobs(healthy, ids)
    healthy.deliver()
    usual_events = {event["uuid"] for event in receiver.accepted()}

    pipeline = make_pipeline(
        sink=PostHogSink("key", receiver.url, timeout_s=0.3), environment="outage"
    )
    if how == "refuses connections":
        receiver.stop()
    else:
        receiver.answer = Answer(503, hangs=how == "hangs")
    assert run_jobs(pipeline, ids) < usual * 2 + 0.5
    results = [pipeline.result(id) for id in ids]
    assert {result.status for result in results} == {Status.SUCCEEDED}
    assert {event["uuid"] for event in receiver.accepted()} <= usual_events

    if how == "refuses connections":
        receiver.start()
    receiver.answer = Answer()
    for _ in range(8):
        pipeline.deliver()
        if not pipeline.keys("leases/"):
            break
        replay(pipeline)
    assert pipeline.keys("leases/") == []
    arrived = {event["uuid"] for event in receiver.accepted()} - usual_events
    assert arrived == {event.uuid for result in results for event in result.events}
    assert len(arrived) == 2 * jobs


def test_a_replay_sends_the_bytes_that_were_sent_before(
    make_pipeline: MakePipeline, receiver: PostHogReceiver
) -> None:
    pipeline = make_pipeline(sink=PostHogSink("key", receiver.url), event_tries=9)
    receiver.answer = Answer(500)
    pipeline.submit("job-1")
    pipeline.tick()
    receiver.answer = Answer()
    for _ in range(5):
        replay(pipeline)
    assert pipeline.keys("leases/") == []
    sent = [event for one in receiver.received for event in one.batch]
    told: dict[str, list[dict[str, Any]]] = {}
    for event in sent:
        told.setdefault(event["uuid"], []).append(event)
    assert any(len(each) > 1 for each in told.values())
    assert all(each == [each[0]] * len(each) for each in told.values())

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
from tests.pipeline.conftest import MakeYard
from tests.support.instant import InstantEngine
from tests.support.posthog_receiver import Answer, PostHogReceiver
from tests.support.yard import Yard


class Moody(MemorySink):
    """Takes nothing while it is down."""

    down = True

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        if self.down:
            raise NotDelivered("down")
        return super().deliver(events)


@pytest.fixture
def sink() -> Moody:
    return Moody()


@pytest.fixture
def moody(make_yard: MakeYard, sink: Moody) -> Yard:
    return make_yard(sink=sink, event_tries=3)


def replay(yard: Yard) -> None:
    yard.pass_time(4000)
    time.sleep(0.06)  # the sender's own pause
    yard.tick()


def test_a_result_whose_events_are_out_has_no_lease(moody: Yard, sink: Moody) -> None:
    sink.down = False
    moody.submit("job-1")
    moody.tick()
    assert moody.keys("leases/") == []
    assert {event.uuid for event in sink.events} == {e.uuid for e in moody.result("job-1").events}


def test_owed_events_stay_in_the_result_and_the_lease_says_so(moody: Yard) -> None:
    moody.submit("job-1")
    moody.tick()
    lease = moody.lease("job-1")
    assert moody.result("job-1").status is Status.SUCCEEDED
    assert (lease.phase, lease.committed, lease.events) == (Phase.RETRY, True, ())
    assert lease.not_before is not None
    assert lease.not_before > moody.now


def test_they_are_sent_again_when_due_and_no_worker_runs(moody: Yard, sink: Moody) -> None:
    moody.submit("job-1")
    moody.tick()
    assert moody.tick().taken_over == 0
    sink.down = False
    replay(moody)
    assert moody.keys("leases/") == []
    assert len(sink.events) == 2
    assert isinstance(moody.engine, InstantEngine)
    assert len(moody.engine.endings) == 1


def test_they_are_given_up_after_so_many_tries_and_still_stand_in_the_result(moody: Yard) -> None:
    moody.submit("job-1")
    moody.tick()
    replay(moody)
    assert moody.keys("leases/") == ["leases/job-1.json"]
    replay(moody)
    assert moody.keys("leases/") == []
    assert len(moody.result("job-1").events) == 2


def test_pauses_between_replays_grow(moody: Yard) -> None:
    moody.submit("job-1")
    moody.tick()
    first = moody.lease("job-1").not_before
    assert first is not None
    first_pause = first - moody.now
    replay(moody)
    second = moody.lease("job-1").not_before
    assert second is not None
    assert second - moody.now > first_pause


def test_a_refusals_events_are_owed_like_any_others(moody: Yard, sink: Moody) -> None:
    moody.submit("bad", b"{")
    moody.tick()
    assert moody.lease("bad").committed
    sink.down = False
    replay(moody)
    assert moody.keys("leases/") == []
    assert len(sink.events) == len(moody.result("bad").events)


def test_a_store_that_is_away_when_the_lease_should_go_brings_it_back(
    moody: Yard, sink: Moody
) -> None:
    sink.down = False
    moody.submit("job-1")
    moody.raw.fail = lambda call, key: (
        OutcomeUnknown("500") if (call, key) == ("DELETE", "leases/job-1.json") else None
    )
    moody.tick()
    assert moody.keys("leases/") == ["leases/job-1.json"]
    moody.raw.fail = lambda call, key: None
    replay(moody)
    assert moody.keys("leases/") == []
    assert len(sink.events) == 2


# PostHog down


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostHogReceiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with PostHogReceiver() as server:
        yield server


def run_jobs(yard: Yard, ids: Sequence[str]) -> float:
    """Seconds until each has its result."""
    for id in ids:
        yard.submit(id)
    began = time.monotonic()
    while len(yard.keys("inbox/")) > 0:
        tick(yard.dispatcher)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("how", "jobs"), [("refuses connections", 100), ("hangs", 100), ("answers 503", 100)]
)
def test_with_posthog_down_nothing_slows_and_afterwards_each_event_arrives(
    make_yard: MakeYard, receiver: PostHogReceiver, how: str, jobs: int
) -> None:
    ids = [f"job-{n:03}" for n in range(jobs)]
    healthy = make_yard(sink=PostHogSink("key", receiver.url))
    usual = run_jobs(healthy, ids)
    healthy.deliver()
    usual_events = {event["uuid"] for event in receiver.accepted()}

    yard = make_yard(sink=PostHogSink("key", receiver.url, timeout_s=0.3), environment="outage")
    if how == "refuses connections":
        receiver.stop()
    else:
        receiver.answer = Answer(503, hangs=how == "hangs")
    assert run_jobs(yard, ids) < usual * 2 + 0.5
    results = [yard.result(id) for id in ids]
    assert {result.status for result in results} == {Status.SUCCEEDED}
    assert {event["uuid"] for event in receiver.accepted()} <= usual_events

    if how == "refuses connections":
        receiver.start()
    receiver.answer = Answer()
    for _ in range(8):
        yard.deliver()
        if not yard.keys("leases/"):
            break
        replay(yard)
    assert yard.keys("leases/") == []
    arrived = {event["uuid"] for event in receiver.accepted()} - usual_events
    assert arrived == {event.uuid for result in results for event in result.events}
    assert len(arrived) == 2 * jobs


def test_a_replay_sends_the_bytes_that_were_sent_before(
    make_yard: MakeYard, receiver: PostHogReceiver
) -> None:
    yard = make_yard(sink=PostHogSink("key", receiver.url), event_tries=9)
    receiver.answer = Answer(500)
    yard.submit("job-1")
    yard.tick()
    receiver.answer = Answer()
    for _ in range(5):
        replay(yard)
    assert yard.keys("leases/") == []
    sent = [event for one in receiver.received for event in one.batch]
    told: dict[str, list[dict[str, Any]]] = {}
    for event in sent:
        told.setdefault(event["uuid"], []).append(event)
    assert any(len(each) > 1 for each in told.values())
    assert all(each == [each[0]] * len(each) for each in told.values())

"""Events leave after the result stands, and only then does the lease go."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.settings import Settings
from events.posthog_sink import PostHogSink
from events.sender import EVENTS
from events.sink import MemorySink, NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import lease_key, metrics_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Metrics, Result, Status
from pipeline.contract.spend_entry import SPEND, SpendEntry
from pipeline.dispatcher.tick import tick
from pipeline.notify.delivery import Pending, pauses, pending, pending_lease, pending_targets
from pipeline.store.base import OutcomeUnknown
from pipeline.store.conditional import Won
from tests.pipeline.conftest import MakePipeline
from tests.support.acceptances import metrics
from tests.support.instant_comfyui import InstantEngine
from tests.support.jobs import a_lease, a_result
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture
from tests.support.posthog_receiver import Answer, PostHogReceiver

ONE_SLOT = "[routes.Flux]\nmax_in_flight = 1\n"


class FlakySink(MemorySink):
    """Takes nothing while it is down."""

    down = True
    requests = 0

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        self.requests += 1
        if self.down:
            raise NotDelivered("503: busy", status=503)
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


CALLED_BACK = {"callback_url": "https://example.org/done"}


@pytest.mark.parametrize(
    ("result", "lease", "owed"),
    [
        ({}, {}, [Pending.EVENTS]),
        ({}, {"events_out": True}, []),
        (CALLED_BACK, {}, [Pending.CALLBACK, Pending.EVENTS]),
        (CALLED_BACK, {"callback_out": True}, [Pending.EVENTS]),
        (CALLED_BACK, {"events_out": True}, [Pending.CALLBACK]),
        (CALLED_BACK, {"callback_out": True, "events_out": True}, []),
    ],
)
def test_a_finished_job_owes_what_has_not_arrived_the_callback_first(
    result: dict[str, Any], lease: dict[str, Any], owed: list[Pending]
) -> None:
    assert pending(a_result(**result), a_lease(**lease)) == owed


@pytest.mark.parametrize(
    ("lease", "targets"),
    [
        ({}, [EVENTS]),
        ({"callback_host": "example.org"}, ["callback:example.org", EVENTS]),
        ({"callback_host": "example.org", "callback_out": True}, [EVENTS]),
        ({"callback_host": "example.org", "events_out": True}, ["callback:example.org"]),
        ({"events_out": True}, ["callback:"]),
    ],
)
def test_a_lease_tells_where_what_is_owed_would_go(
    lease: dict[str, Any], targets: list[str]
) -> None:
    assert pending_targets(a_lease(**lease)) == targets


@pytest.mark.parametrize(
    ("result", "host"),
    [
        (None, "known.example"),
        (a_result(), "known.example"),
        (a_result(**CALLED_BACK), "example.org"),
    ],
)
def test_the_lease_notes_the_host_of_a_callback_that_the_result_names(
    result: Result | None, host: str
) -> None:
    lease = pending_lease(a_lease(callback_host="known.example"), result, not_before=NOON)
    assert (lease.callback_host, lease.committed, lease.not_before) == (host, True, NOON)


def test_a_lease_that_owes_nothing_is_deleted_at_once(
    flaky: PipelineFixture, sink: FlakySink
) -> None:
    lease = a_lease(committed=True, events_out=True)
    outcome = flaky.store.create(lease_key("job"), lease.body())
    assert isinstance(outcome, Won)
    flaky.delivery.deliver(a_result(), lease, outcome.etag)
    assert flaky.keys("leases/") == []
    assert sink.requests == 0


def committed(pipeline: PipelineFixture) -> Result:
    """A job whose worker was killed right after its commit."""
    lease = a_lease(phase=Phase.RUNNING)
    pipeline.store.create(lease_key("job"), lease.body())
    pipeline.store.create("jobs/job/manifest.json", body())
    result = a_result(metrics=metrics(2.5))
    pipeline.store.create("jobs/job/result.json", result.body())
    return result


def test_metrics_that_a_killed_worker_did_not_write_are_written_by_whoever_delivers(
    flaky: PipelineFixture, sink: FlakySink
) -> None:
    sink.down = False
    result = committed(flaky)
    replay(flaky)
    stored = flaky.store.get(metrics_key("job", 1))
    assert stored is not None
    assert Metrics.model_validate_json(stored.body) == result.metrics
    assert flaky.keys("leases/") == []


def test_metrics_are_written_by_the_first_delivery_alone(flaky: PipelineFixture) -> None:
    committed(flaky)
    replay(flaky)
    assert flaky.lease("job").committed
    flaky.raw._store.delete(metrics_key("job", 1))
    replay(flaky)
    assert metrics_key("job", 1) not in flaky.keys("jobs/")


def test_what_a_job_cost_is_noted_by_the_first_delivery_alone(flaky: PipelineFixture) -> None:
    """Later ones owe events to a job whose lease no longer counts."""
    key = SpendEntry.of(committed(flaky)).key
    replay(flaky)
    assert flaky.lease("job").deliveries
    assert flaky.keys(SPEND) == [key]
    flaky.raw._store.delete(key)
    replay(flaky)
    assert flaky.keys(SPEND) == []


def test_a_result_without_metrics_has_no_file_of_them(
    flaky: PipelineFixture, sink: FlakySink
) -> None:
    sink.down = False
    flaky.submit("job-1", body(input={"width": 7}))
    flaky.tick()
    assert flaky.result("job-1").metrics is None
    assert flaky.keys("jobs/") == ["jobs/job-1/manifest.json", "jobs/job-1/result.json"]


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


# What counts, and for how long


def seconds_until_given_up(settings: Settings, share: float) -> float:
    """From the first delivery to the last try, if each is sent as soon as it is due. `share` is
    what is left of each pause by its jitter."""
    numbers = range(1, settings.event_tries)
    return sum(pauses(settings).pause_s(number) * share for number in numbers)


def test_with_default_settings_tries_go_on_for_one_to_two_and_a_half_hours() -> None:
    shortest, longest = (seconds_until_given_up(Settings(), share) / 3600 for share in (0.5, 1.0))
    assert (round(shortest, 1), round(longest, 1)) == (1.2, 2.4)
    assert pauses(Settings()).pause_s(100) == 3600


@pytest.fixture
def away(make_pipeline: MakePipeline, sink: FlakySink) -> PipelineFixture:
    """A dispatcher without jobs that run, over an hour of our own."""
    return make_pipeline(sink=sink, event_tries=3, turned=True)


def test_what_was_not_sent_does_not_count_but_its_pause_grows(
    away: PipelineFixture, sink: FlakySink
) -> None:
    away.submit("probe")
    away.tick()
    pauses_s, counts = [], []
    for _ in range(6):
        lease, etag = away.lease("probe"), etag_of(away, "probe")
        away.delivery.deliver(away.result("probe"), lease, etag)
        lease = away.lease("probe")
        assert lease.not_before is not None
        pauses_s.append((lease.not_before - away.now).total_seconds())
        counts.append((lease.deliveries, lease.delivery_tries, lease.attempt))
    assert pauses_s == [10, 20, 40, 80, 160, 320]
    assert counts == [(number, 1, 1) for number in range(2, 8)]
    assert sink.requests == 1


def etag_of(pipeline: PipelineFixture, id: str) -> str:
    stored = pipeline.raw._store.get(lease_key(id))
    assert stored is not None
    return stored.etag


def test_a_delivery_that_was_never_sent_is_not_the_last_try(
    away: PipelineFixture, sink: FlakySink
) -> None:
    away.submit("job-1")
    away.tick()
    lease = away.lease("job-1").with_(delivery_tries=2)
    outcome = away.store.replace(lease_key("job-1"), lease.body(), etag_of(away, "job-1"))
    assert isinstance(outcome, Won)
    away.delivery.deliver(away.result("job-1"), lease, outcome.etag)
    assert away.keys("leases/"), "the sender pauses: it was not sent"
    assert away.lease("job-1").delivery_tries == 2

    away.pass_time(4000)
    with capture_logs() as logs:
        away.tick()
    assert not away.keys("leases/")
    (line,) = [line for line in logs if line["event"] == "events_given_up"]
    assert (line["job"], line["tries"]) == ("job-1", 3)
    assert (line["status"], line["reason"]) == (503, "503: busy")


def test_tries_do_not_use_up_attempts(away: PipelineFixture) -> None:
    away.submit("job-1")
    away.tick()
    for attempt in (2, 3):
        away.pass_time(4000)
        away.tick()
        if attempt == 2:
            lease = away.lease("job-1")
            assert (lease.deliveries, lease.delivery_tries, lease.attempt) == (2, 2, 2)
    assert away.result("job-1").attempt == 1


# A delivery that has no answer


class HangingSink(MemorySink):
    """Answers when it is let go, with what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.gate = Event(), Event()
        self.failure: NotDelivered | None = None

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        self.reached.set()
        assert self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        return super().deliver(events)


@pytest.fixture
def hanging(make_pipeline: MakePipeline) -> Iterator[PipelineFixture]:
    sink = HangingSink()
    pipeline = make_pipeline(sink=sink, routes=ONE_SLOT)
    yield pipeline
    sink.gate.set()


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize("failure", [None, NotDelivered("500: late", status=500)])
def test_a_job_whose_events_have_no_answer_gives_its_slot_back_and_still_hears_the_answer(
    hanging: PipelineFixture, failure: NotDelivered | None
) -> None:
    sink = hanging.sink
    assert isinstance(sink, HangingSink)
    hanging.submit("job-1")
    tick(hanging.dispatcher)
    assert sink.reached.wait(10)
    until(lambda: hanging.lease("job-1").committed)
    lease = hanging.lease("job-1")
    assert (lease.phase, lease.events_out, lease.deliveries) == (Phase.RETRY, False, 0)
    assert lease.not_before is not None
    assert lease.not_before - hanging.now > timedelta(
        seconds=hanging.settings.posthog_timeout_seconds
    ), "the answer has its time"

    hanging.submit("job-2")
    tick(hanging.dispatcher)
    assert hanging.result("job-2").status is Status.SUCCEEDED, "the slot is free"

    sink.failure = failure
    sink.gate.set()
    hanging.deliver()
    if failure is None:
        assert "leases/job-1.json" not in hanging.keys("leases/")
    else:
        lease = hanging.lease("job-1")
        assert (lease.deliveries, lease.delivery_tries, lease.committed) == (1, 1, True)


def test_while_posthog_has_no_answer_jobs_mark_their_events_as_pending_at_once(
    hanging: PipelineFixture,
) -> None:
    hanging.submit("job-1")
    tick(hanging.dispatcher)
    until(lambda: hanging.lease("job-1").committed)
    for number in range(2, 5):
        hanging.submit(f"job-{number}")
        tick(hanging.dispatcher)
        lease = hanging.lease(f"job-{number}")
        assert (lease.committed, lease.deliveries, lease.delivery_tries) == (True, 1, 0)


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
    ("how", "jobs"),
    [
        ("hangs", 100),
        pytest.param("refuses connections", 100, marks=pytest.mark.thorough),
        pytest.param("answers 503", 100, marks=pytest.mark.thorough),
    ],
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

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from events.sender import EVENTS
from events.sink import MemorySink, NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import OUTBOX
from pipeline.dispatcher.rejection_events import KEPT_S, LOOK_S, PER_LOOK, RejectionEvents
from pipeline.store.base import Always, OutcomeUnknown
from tests.events.builders import completed
from tests.support.pipeline_fixture import PipelineFixture, WatchedSender


class FlakySink(MemorySink):
    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.requests = 0

    def deliver(self, events: Any) -> Any:
        self.requests += 1
        if self.down:
            raise NotDelivered("503: busy", status=503)
        return super().deliver(events)


class Dispatcher:
    """What one process has of its own: a sender, and when it looks next."""

    def __init__(self, pipeline: PipelineFixture) -> None:
        self.pipeline = pipeline
        self.sender = WatchedSender(pipeline.sink, clock=self._seconds)
        self.rejection_events = RejectionEvents(self._seconds)

    def _seconds(self) -> float:
        return self.pipeline.now.timestamp()

    def look(self) -> None:
        self.rejection_events.send_due(self.pipeline.store, self.sender)
        self.sender.wait()


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    fixture = PipelineFixture(sink=FlakySink())
    yield fixture
    fixture.close()


@pytest.fixture
def sink(pipeline: PipelineFixture) -> FlakySink:
    assert isinstance(pipeline.sink, FlakySink)
    return pipeline.sink


def refuse(pipeline: PipelineFixture, *names: str) -> None:
    for name in names:
        pipeline.submit("", key=f"inbox/{name}.json")
    pipeline.tick()


def test_an_event_that_arrived_leaves_nothing_behind(
    pipeline: PipelineFixture, sink: FlakySink
) -> None:
    refuse(pipeline, "BAD")
    assert [event.event for event in sink.events] == ["modal_manifest_rejected"]
    assert not pipeline.keys(OUTBOX)
    assert not pipeline.keys("inbox/")


def test_one_that_did_not_is_kept_and_sent_by_another_process(
    pipeline: PipelineFixture, sink: FlakySink
) -> None:
    sink.down = True
    refuse(pipeline, "BAD", "WORSE")
    assert not pipeline.keys("inbox/")
    kept = [key.removeprefix(OUTBOX) for key in pipeline.keys(OUTBOX)]
    assert kept == [key.removeprefix("rejected/") for key in pipeline.keys("rejected/")]
    assert len(kept) == 2

    sink.down = False
    another = Dispatcher(pipeline)
    before = sink.requests
    another.look()
    assert sink.requests == before + 1, "all that is owed goes in one request"
    stored = {record["events"][0]["uuid"] for record in pipeline.rejected()}
    assert {event.uuid for event in sink.events} == stored
    assert not pipeline.keys(OUTBOX)
    another.sender.close(1)


def test_a_dispatcher_that_died_before_the_entry_left_sends_the_same_event(
    pipeline: PipelineFixture, sink: FlakySink
) -> None:
    sink.down = True
    pipeline.submit("", key="inbox/BAD.json")
    pipeline.raw.fail = lambda call, key: OutcomeUnknown("x") if key.startswith(OUTBOX) else None
    with pytest.raises(Exception, match="no clear answer"):
        pipeline.tick()
    assert pipeline.keys("inbox/")
    pipeline.raw.fail = lambda call, key: None
    pipeline.pass_time(100)
    sink.down = False
    pipeline.tick()
    (record,) = pipeline.rejected()
    assert [event.uuid for event in sink.events] == [record["events"][0]["uuid"]]
    assert not pipeline.keys(OUTBOX)
    assert not pipeline.keys("inbox/")


def test_looks_cost_one_list_each_and_none_while_posthog_pauses(
    pipeline: PipelineFixture, sink: FlakySink
) -> None:
    sink.down = True
    refuse(pipeline, "BAD")
    dispatcher = Dispatcher(pipeline)
    dispatcher.look()
    assert sink.requests == 2
    pipeline.raw.calls.clear()
    for _ in range(59):
        pipeline.pass_time(1)
        dispatcher.look()
    assert not pipeline.raw.calls

    sink.down = False
    pipeline.pass_time(2)
    dispatcher.look()
    assert pipeline.raw.calls == {"LIST": 1, "GET": 1, "DELETE": 1}
    pipeline.pass_time(LOOK_S)
    dispatcher.look()
    dispatcher.look()
    assert pipeline.raw.calls["LIST"] == 2
    dispatcher.sender.close(1)


def put(pipeline: PipelineFixture, name: str, event: StoredEvent | None) -> None:
    body = b"?" if event is None else event.model_dump_json().encode()
    pipeline.store.raw.put(f"{OUTBOX}{name}.json", body, Always())


def test_what_cannot_be_read_is_left_alone_and_holds_up_nothing(
    pipeline: PipelineFixture, sink: FlakySink
) -> None:
    for number in range(PER_LOOK):
        put(pipeline, f"a-{number:03}", None)
    put(pipeline, "b", completed("j1"))
    dispatcher = Dispatcher(pipeline)
    for _ in range(2):
        dispatcher.look()
    assert sink.events == [completed("j1")]
    assert len(pipeline.keys(OUTBOX)) == PER_LOOK
    dispatcher.sender.close(1)


def test_it_is_given_up_after_a_week_and_told_with_posthogs_status(
    pipeline: PipelineFixture, sink: FlakySink
) -> None:
    put(pipeline, "old", completed("j1"))
    sink.down = True
    dispatcher = Dispatcher(pipeline)
    pipeline.pass_time(KEPT_S)
    dispatcher.look()
    assert pipeline.keys(OUTBOX), "not older than a week"
    pipeline.pass_time(600)
    with capture_logs() as logs:
        dispatcher.look()
    assert not pipeline.keys(OUTBOX)
    (given_up,) = [line for line in logs if line["event"] == "events_given_up"]
    assert (given_up["status"], given_up["uuid"]) == (503, completed("j1").uuid)
    dispatcher.sender.close(1)


def test_what_was_not_sent_is_never_given_up(pipeline: PipelineFixture) -> None:
    class ClosedMeanwhile(WatchedSender):
        def room(self, target: str = EVENTS) -> int:
            return super().room(target) + 1

    put(pipeline, "old", completed("j1"))
    pipeline.pass_time(2 * KEPT_S)
    sender = ClosedMeanwhile(pipeline.sink)
    sender.close(1)
    RejectionEvents(lambda: 0.0).send_due(pipeline.store, sender)
    assert pipeline.keys(OUTBOX)


def test_a_store_that_is_away_is_asked_again_later(
    pipeline: PipelineFixture, sink: FlakySink
) -> None:
    put(pipeline, "one", completed("j1"))
    dispatcher = Dispatcher(pipeline)
    pipeline.raw.fail = lambda call, key: OutcomeUnknown("500")
    dispatcher.look()
    pipeline.raw.fail = lambda call, key: None
    dispatcher.look()
    assert not sink.events
    pipeline.pass_time(LOOK_S)
    dispatcher.look()
    assert sink.events == [completed("j1")]
    dispatcher.sender.close(1)

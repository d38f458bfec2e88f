import json
from threading import Barrier, Thread
from typing import Any

import pytest

from events.sender import Sender
from events.sink import EventSink, MemorySink, NotDelivered
from pipeline.dispatcher.deploy_event import PAUSE_S, DeployEventSender
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.base import Busy
from tests.pipeline.conftest import MakePipeline
from tests.support.pipeline_fixture import PipelineFixture

KEY = "deploys/1.0+abc.json"


class Flaky(MemorySink):
    """Takes nothing while it is down."""

    down = True

    def deliver(self, events: Any) -> Any:
        if self.down:
            raise NotDelivered("down", tried=False)
        return super().deliver(events)


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> PipelineFixture:
    return make_pipeline(app_version="1.0+abc", environment="production")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def deploy_event(clock: Clock | None = None) -> DeployEventSender:
    return DeployEventSender(clock or Clock())


def deployed(pipeline: PipelineFixture) -> RuntimeConfig:
    return load_runtime(pipeline.settings, "modal")


def send_due(pipeline: PipelineFixture, *announcers: DeployEventSender) -> None:
    for each in announcers:
        each.send_due(pipeline.store, pipeline.sender, deployed(pipeline))
    pipeline.deliver()


def sent(sink: EventSink) -> list[str]:
    assert isinstance(sink, MemorySink)
    return [event.uuid for event in sink.events]


def kept(pipeline: PipelineFixture) -> dict[str, Any]:
    stored = pipeline.raw._store.get(KEY)
    assert stored is not None
    content: dict[str, Any] = json.loads(stored.body)
    return content


def test_a_new_version_is_told_of_and_kept(pipeline: PipelineFixture) -> None:
    send_due(pipeline, deploy_event())
    (event,) = pipeline.sink.events  # type: ignore[attr-defined]
    assert event.event == "modal_app_deployed"
    assert event.distinct_id == "deploy:1.0+abc"
    told = event.properties
    assert (told["app_version"], told["environment"]) == ("1.0+abc", "production")
    assert (told["engine"], told["kind"]) == ("modal", None)
    assert "flux-dev" in told["kinds"]
    assert kept(pipeline)["delivered"] is True
    assert kept(pipeline)["event"]["uuid"] == event.uuid


def test_a_process_looks_once_and_a_told_version_costs_one_read(pipeline: PipelineFixture) -> None:
    send_due(pipeline, deploy_event())
    pipeline.raw.calls.clear()
    second = deploy_event()
    send_due(pipeline, second, second, second)
    assert pipeline.raw.calls == {"GET": 1}
    assert len(sent(pipeline.sink)) == 1


def test_two_dispatchers_at_once_send_one_event(pipeline: PipelineFixture) -> None:
    both, ready = [deploy_event(), deploy_event()], Barrier(2)

    def run(one: DeployEventSender) -> None:
        ready.wait()
        one.send_due(pipeline.store, pipeline.sender, deployed(pipeline))

    threads = [Thread(target=run, args=(each,)) for each in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipeline.deliver()
    assert sent(pipeline.sink) == [kept(pipeline)["event"]["uuid"]]
    assert kept(pipeline)["delivered"] is True


def test_whoever_comes_second_sends_the_firsts_event_at_the_firsts_time(
    pipeline: PipelineFixture,
) -> None:
    down = Sender(Flaky())
    deploy_event().send_due(pipeline.store, down, deployed(pipeline))
    down.close(5)
    first = kept(pipeline)
    assert first["delivered"] is False
    pipeline.pass_time(3600)
    send_due(pipeline, deploy_event())
    (event,) = pipeline.sink.events  # type: ignore[attr-defined]
    assert event.model_dump() == first["event"]
    assert kept(pipeline)["delivered"] is True


def test_an_event_that_did_not_arrive_is_sent_again_after_a_pause(
    make_pipeline: MakePipeline,
) -> None:
    sink, clock = Flaky(), Clock()
    pipeline = make_pipeline(app_version="1.0+abc", sink=sink)
    one = deploy_event(clock)
    send_due(pipeline, one)
    sink.down = False
    send_due(pipeline, one)
    assert sent(sink) == []
    clock.now = PAUSE_S
    send_due(pipeline, one, one)
    assert sent(sink) == [kept(pipeline)["event"]["uuid"]]


def test_a_store_that_is_away_delays_it(pipeline: PipelineFixture) -> None:
    clock = Clock()
    one = deploy_event(clock)
    pipeline.raw.fail = lambda call, key: Busy("503") if key == KEY else None
    send_due(pipeline, one)
    pipeline.raw.fail = lambda call, key: None
    clock.now = PAUSE_S
    send_due(pipeline, one)
    assert len(sent(pipeline.sink)) == 1


def test_what_a_stranger_wrote_there_is_left_alone(pipeline: PipelineFixture) -> None:
    pipeline.store.create(KEY, b"mine")
    send_due(pipeline, deploy_event())
    assert sent(pipeline.sink) == []
    assert pipeline.raw._store.get(KEY).body == b"mine"  # type: ignore[union-attr]


def looped(pipeline: PipelineFixture, engine: str) -> Dispatcher:
    runtime = load_runtime(pipeline.settings, engine)
    own = Dispatcher(pipeline.store, pipeline.held, pipeline.sender, runtime, pipeline.pool, "loop")
    for _ in range(2):  # as a schedule does that finds its container warm
        wakeup = Wakeup()
        dispatch(own, wakeup, on_tick=lambda report, wakeup=wakeup: wakeup.stop())  # type: ignore[misc]
    pipeline.deliver()
    return own


def test_the_first_tick_of_a_version_announces_it(pipeline: PipelineFixture) -> None:
    looped(pipeline, "modal")
    assert len(sent(pipeline.sink)) == 1
    pipeline.raw.calls.clear()
    looped(pipeline, "modal")
    # Two looks, and one of a new process into outbox/.
    assert pipeline.raw.calls == {"LIST": 5, "GET": 1}


def test_a_machine_of_ones_own_is_no_deployment(pipeline: PipelineFixture) -> None:
    looped(pipeline, "local")
    assert sent(pipeline.sink) == []
    assert pipeline.keys("deploys/") == []

import json
from threading import Barrier, Thread
from typing import Any

import pytest

from events.sender import Sender
from events.sink import EventSink, MemorySink, NotDelivered
from pipeline.dispatcher.deploy_event import PAUSE_S, DeployEventSender
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.dispatcher.tick import Dispatcher
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.base import Busy
from tests.pipeline.conftest import MakeYard
from tests.support.yard import Yard

KEY = "deploys/1.0+abc.json"


class Flaky(MemorySink):
    """Takes nothing while it is down."""

    down = True

    def deliver(self, events: Any) -> Any:
        if self.down:
            raise NotDelivered("down", tried=False)
        return super().deliver(events)


@pytest.fixture
def yard(make_yard: MakeYard) -> Yard:
    return make_yard(app_version="1.0+abc", environment="production")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def deploy_event(clock: Clock | None = None) -> DeployEventSender:
    return DeployEventSender(clock or Clock())


def deployed(yard: Yard) -> RuntimeConfig:
    return load_runtime(yard.settings, "modal")


def send_due(yard: Yard, *announcers: DeployEventSender) -> None:
    for each in announcers:
        each.send_due(yard.store, yard.sender, deployed(yard))
    yard.deliver()


def sent(sink: EventSink) -> list[str]:
    assert isinstance(sink, MemorySink)
    return [event.uuid for event in sink.events]


def kept(yard: Yard) -> dict[str, Any]:
    stored = yard.raw._store.get(KEY)
    assert stored is not None
    content: dict[str, Any] = json.loads(stored.body)
    return content


def test_a_new_version_is_told_of_and_kept(yard: Yard) -> None:
    send_due(yard, deploy_event())
    (event,) = yard.sink.events  # type: ignore[attr-defined]
    assert event.event == "modal_app_deployed"
    assert event.distinct_id == "deploy:1.0+abc"
    told = event.properties
    assert (told["app_version"], told["environment"]) == ("1.0+abc", "production")
    assert (told["engine"], told["kind"]) == ("modal", None)
    assert "flux-dev" in told["kinds"]
    assert kept(yard)["delivered"] is True
    assert kept(yard)["event"]["uuid"] == event.uuid


def test_a_process_looks_once_and_a_told_version_costs_one_read(yard: Yard) -> None:
    send_due(yard, deploy_event())
    yard.raw.calls.clear()
    second = deploy_event()
    send_due(yard, second, second, second)
    assert yard.raw.calls == {"GET": 1}
    assert len(sent(yard.sink)) == 1


def test_two_dispatchers_at_once_send_one_event(yard: Yard) -> None:
    both, ready = [deploy_event(), deploy_event()], Barrier(2)

    def run(one: DeployEventSender) -> None:
        ready.wait()
        one.send_due(yard.store, yard.sender, deployed(yard))

    threads = [Thread(target=run, args=(each,)) for each in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yard.deliver()
    assert sent(yard.sink) == [kept(yard)["event"]["uuid"]]
    assert kept(yard)["delivered"] is True


def test_whoever_comes_second_sends_the_firsts_event_at_the_firsts_time(yard: Yard) -> None:
    down = Sender(Flaky())
    deploy_event().send_due(yard.store, down, deployed(yard))
    down.close(5)
    first = kept(yard)
    assert first["delivered"] is False
    yard.pass_time(3600)
    send_due(yard, deploy_event())
    (event,) = yard.sink.events  # type: ignore[attr-defined]
    assert event.model_dump() == first["event"]
    assert kept(yard)["delivered"] is True


def test_an_event_that_did_not_arrive_is_sent_again_after_a_pause(make_yard: MakeYard) -> None:
    sink, clock = Flaky(), Clock()
    yard = make_yard(app_version="1.0+abc", sink=sink)
    one = deploy_event(clock)
    send_due(yard, one)
    sink.down = False
    send_due(yard, one)
    assert sent(sink) == []
    clock.now = PAUSE_S
    send_due(yard, one, one)
    assert sent(sink) == [kept(yard)["event"]["uuid"]]


def test_a_store_that_is_away_delays_it(yard: Yard) -> None:
    clock = Clock()
    one = deploy_event(clock)
    yard.raw.fail = lambda call, key: Busy("503") if key == KEY else None
    send_due(yard, one)
    yard.raw.fail = lambda call, key: None
    clock.now = PAUSE_S
    send_due(yard, one)
    assert len(sent(yard.sink)) == 1


def test_what_a_stranger_wrote_there_is_left_alone(yard: Yard) -> None:
    yard.store.create(KEY, b"mine")
    send_due(yard, deploy_event())
    assert sent(yard.sink) == []
    assert yard.raw._store.get(KEY).body == b"mine"  # type: ignore[union-attr]


def looped(yard: Yard, engine: str) -> Dispatcher:
    runtime = load_runtime(yard.settings, engine)
    own = Dispatcher(yard.store, yard.held, yard.sender, runtime, yard.pool, "loop")
    for _ in range(2):  # as a schedule does that finds its container warm
        wakeup = Wakeup()
        dispatch(own, wakeup, on_tick=lambda report, wakeup=wakeup: wakeup.stop())  # type: ignore[misc]
    yard.deliver()
    return own


def test_the_first_tick_of_a_version_announces_it(yard: Yard) -> None:
    looped(yard, "modal")
    assert len(sent(yard.sink)) == 1
    yard.raw.calls.clear()
    looped(yard, "modal")
    assert yard.raw.calls == {"LIST": 4, "GET": 1}


def test_a_machine_of_ones_own_is_no_deployment(yard: Yard) -> None:
    looped(yard, "local")
    assert sent(yard.sink) == []
    assert yard.keys("deploys/") == []

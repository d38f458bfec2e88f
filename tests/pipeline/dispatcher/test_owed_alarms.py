"""What an alarm owes: its callback to the operator's address, and its event."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from threading import Event

import pytest
from structlog.testing import capture_logs

from config.errors import InvalidSetting
from pipeline.contract.keys import OWED
from pipeline.contract.spend_entry import SpendEntry
from pipeline.dispatcher.budget_alarms import BudgetAlarms, _event, _reached
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.owed_alarms import (
    KEPT_S,
    LOOK_S,
    OWED_LOOK_S,
    PER_LOOK,
    OwedAlarms,
    Part,
)
from pipeline.notify.job_events import Origin
from pipeline.queue.budgets import Ledger
from pipeline.store.base import IfMatch
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.notify.test_callbacks import OK, SECRET, reply
from tests.support.https_server import HttpsServer, https_server
from tests.support.network import Network
from tests.support.pipeline_fixture import NOON, PipelineFixture

HOST = "alarms.example.com"
URL = f"https://{HOST}/budget"
TODAY = date(2026, 3, 1)


class Receiver:
    """An https server that answers what a test wants."""

    def __init__(self) -> None:
        self.answer = OK
        self.open = Event()
        """Cleared while no answer is given."""
        self.open.set()
        self.server: HttpsServer

    def __call__(self, head: str, sock: socket.socket) -> None:
        self.open.wait(30)
        sock.sendall(self.answer)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    receiver = Receiver()
    with https_server(tmp_path_factory.mktemp("https"), [HOST], receiver) as receiver.server:
        yield receiver


@pytest.fixture
def receiver(site: Receiver) -> Receiver:
    site.answer = OK
    site.server.requests.clear()
    site.server.bodies.clear()
    return site


Alarmed = Callable[..., PipelineFixture]


@pytest.fixture
def alarmed(make_pipeline: MakePipeline, receiver: Receiver, tmp_path: Path) -> Alarmed:
    def make(row: str = "", network: Network | None = None, **settings: object) -> PipelineFixture:
        path = tmp_path / "budgets.toml"
        path.write_text(f"[budgets.total]\nusd = 1\n{row}")
        network = network or Network()
        network.port = receiver.server.port
        told = {"alarm_url": URL, "callback_secret": SECRET, "event_tries": 3, **settings}
        return make_pipeline(
            web=network.web(receiver.server), turned=True, budgets_file=path, **told
        )

    return make


def tell(pipeline: PipelineFixture, dispatcher: Dispatcher | None = None) -> int:
    dispatcher = dispatcher or pipeline.dispatcher
    ledger = Ledger(pipeline.runtime.budgets, TODAY, "local")
    ledger.add_ended([SpendEntry(TODAY, "old", 5000, tenant="acme", platform="local")])
    raised = BudgetAlarms().tell(ledger, dispatcher.alarm_post, NOON)
    pipeline.deliver()
    return raised


def owe(pipeline: PipelineFixture, part: Part) -> None:
    ledger = Ledger(pipeline.runtime.budgets, TODAY, "local")
    ledger.add_ended([SpendEntry(TODAY, "old", 5000, tenant="acme", platform="local")])
    event = _event(ledger, next(_reached(ledger)), Origin.of(pipeline.runtime), NOON)
    key = "alarms/2026-03-01/total.50.json"
    pipeline.dispatcher.alarm_post.owe(key, event, part, NOON)


def look(pipeline: PipelineFixture, after_s: float) -> None:
    """As another dispatcher, so much later."""
    pipeline.pass_time(after_s)
    pipeline.store.list("leases/")
    OwedAlarms(lambda: 0.0).send_due(pipeline.another("other").alarm_post)
    pipeline.deliver()


def owed(pipeline: PipelineFixture) -> list[str]:
    return [key.removeprefix(OWED) for key in pipeline.keys(OWED)]


CALLBACK = "2026-03-01/total.50.callback.json"


def test_an_alarm_calls_the_operators_address_signed_as_jobs_callbacks_are(
    alarmed: Alarmed, receiver: Receiver
) -> None:
    pipeline = alarmed()
    assert tell(pipeline) == 1
    [body] = receiver.server.bodies
    assert json.loads(body) == {
        "type": "budget.reached",
        "timestamp": "2026-03-01T12:00:00.000+00:00",
        "data": {
            "budget": "total",
            "percent": 50,
            "budget_usd": 1.0,
            "spent_usd": 0.5,
            "on_exceeded": "wait",
            "tenant": None,
            "environment": "local",
            "alarm": "alarms/2026-03-01/total.50.json",
        },
    }
    head = receiver.server.requests[0].lower()
    assert f"webhook-timestamp: {int(NOON.timestamp())}" in head
    assert "webhook-signature: v1," in head
    assert not owed(pipeline)


def test_a_budgets_own_address_comes_first_and_without_any_nothing_is_called(
    alarmed: Alarmed, receiver: Receiver
) -> None:
    tell(alarmed(f'alarm_url = "{URL}/own"\n'))
    assert receiver.server.requests[0].startswith("POST /budget/own ")
    tell(pipeline := alarmed(alarm_url=None))
    assert not owed(pipeline)
    assert len(receiver.server.requests) == 1
    assert pipeline.event_names() == ["modal_budget_reached"]


def test_several_dispatchers_call_once(alarmed: Alarmed, receiver: Receiver) -> None:
    pipeline = alarmed()
    assert tell(pipeline) + tell(pipeline, pipeline.another("other")) == 1
    look(pipeline, 1000)
    assert len(receiver.server.bodies) == 1


def test_what_did_not_arrive_is_called_again_by_any_dispatcher_once_it_is_due(
    alarmed: Alarmed, receiver: Receiver
) -> None:
    pipeline = alarmed()
    receiver.answer = reply(503)
    tell(pipeline)
    assert owed(pipeline) == [CALLBACK]
    assert pipeline.event_names() == ["modal_budget_reached"], "which waits for no callback"
    receiver.answer = OK
    look(pipeline, 29)
    assert owed(pipeline) == [CALLBACK], "the first may still be answered"
    look(pipeline, 1)
    assert not owed(pipeline)
    first, second = receiver.server.bodies
    assert first == second
    lines = [line for head in receiver.server.requests for line in head.split("\r\n")]
    assert len({line for line in lines if line.startswith("webhook-id: ")}) == 1


def test_it_is_given_up_after_as_many_tries_as_events_are(
    alarmed: Alarmed, receiver: Receiver
) -> None:
    pipeline = alarmed()
    receiver.answer = reply(503)
    tell(pipeline)
    with capture_logs() as logs:
        for _ in range(4):
            look(pipeline, 4000)
    assert len(receiver.server.bodies) == 3
    assert not owed(pipeline)
    (given_up,) = [each for each in logs if each["event"] == "alarm_given_up"]
    assert given_up["status"] == 503


def test_gone_ends_it(alarmed: Alarmed, receiver: Receiver) -> None:
    pipeline = alarmed()
    receiver.answer = reply(410)
    tell(pipeline)
    assert not owed(pipeline)


def test_a_private_address_is_not_called(alarmed: Alarmed, receiver: Receiver) -> None:
    network = Network(names={HOST: ["10.0.0.7"]})
    pipeline = alarmed(network=network)
    tell(pipeline)
    assert not network.connected
    assert owed(pipeline) == [CALLBACK]


def test_a_receiver_that_does_not_answer_holds_no_tick_up(
    alarmed: Alarmed, receiver: Receiver
) -> None:
    pipeline = alarmed()
    receiver.open.clear()
    try:
        ledger = Ledger(pipeline.runtime.budgets, TODAY, "local")
        ledger.add_ended([SpendEntry(TODAY, "old", 9000, tenant="acme", platform="local")])
        assert BudgetAlarms().tell(ledger, pipeline.dispatcher.alarm_post, NOON) == 2
        assert not receiver.server.bodies or owed(pipeline), "nothing has been answered"
        pipeline.dispatcher.memory.owed_alarms.send_due(pipeline.dispatcher.alarm_post)
    finally:
        receiver.open.set()
    pipeline.deliver()


def test_an_address_that_this_dispatcher_does_not_have_is_left_to_another(
    alarmed: Alarmed, receiver: Receiver
) -> None:
    pipeline = alarmed()
    receiver.answer = reply(503)
    tell(pipeline)
    without = alarmed(alarm_url=None, raw=pipeline.raw._store)
    look(without, 4000)
    assert owed(pipeline) == [CALLBACK]
    assert len(receiver.server.bodies) == 1
    pipeline.pass_time(KEPT_S)
    look(without, 0)
    assert not owed(pipeline), "nobody has its address any more"


@pytest.mark.parametrize(
    "name",
    [
        *("2026-03-01/total.50.json", "x", "2026-03-01/a.b.event.json"),
        *("2026-03-01/total.50.event.json", "2026-03-01/total.50.other.json"),
        "2026-03-01/unknown.50.callback.json",
    ],
)
def test_a_strangers_object_is_left_alone(alarmed: Alarmed, name: str) -> None:
    pipeline = alarmed()
    pipeline.store.create(OWED + name, b"{}")
    with capture_logs() as logs:
        look(pipeline, 0)
    assert owed(pipeline) == [name]
    assert not logs


@pytest.mark.parametrize("name", ["2026-03-01/total.50.json", "2026-03-01/total.50.other.json"])
def test_it_is_left_alone_however_old_it_is(alarmed: Alarmed, name: str) -> None:
    pipeline = alarmed()
    pipeline.store.create(OWED + name, b"{}")
    look(pipeline, KEPT_S)
    assert owed(pipeline) == [name]


def test_a_part_of_a_later_version_is_neither_sent_nor_called(
    alarmed: Alarmed, receiver: Receiver
) -> None:
    pipeline = alarmed()
    owe(pipeline, Part.CALLBACK)
    stored = pipeline.store.get(OWED + CALLBACK)
    assert stored is not None
    pipeline.store.delete(OWED + CALLBACK)
    later = "2026-03-01/total.80.letter.json"
    pipeline.store.create(OWED + later, stored.body)
    look(pipeline, 100)
    assert owed(pipeline) == [later]
    assert not receiver.server.bodies


def test_one_that_arrived_meanwhile_is_no_failure(alarmed: Alarmed) -> None:
    pipeline = alarmed()
    with capture_logs() as logs:
        pipeline.dispatcher.alarm_post.send(OWED + CALLBACK)
        pipeline.deliver()
    assert not logs


def test_of_two_that_read_it_at_a_time_one_sends(alarmed: Alarmed, receiver: Receiver) -> None:
    pipeline = alarmed()
    receiver.answer = reply(503)
    tell(pipeline)
    receiver.answer = OK
    pipeline.pass_time(100)
    pipeline.store.list("leases/")
    stored = pipeline.store.get(OWED + CALLBACK)
    assert stored is not None

    def other_takes_it(call: str, key: str) -> None:
        if call == "PUT" and key == OWED + CALLBACK:
            pipeline.raw.fail = lambda call, key: None
            taken = stored.body.replace(b'"tries": 1', b'"tries": 2')
            pipeline.raw._store.put(key, taken, IfMatch(stored.etag))

    pipeline.raw.fail = other_takes_it
    pipeline.dispatcher.alarm_post.send(OWED + CALLBACK)
    pipeline.deliver()
    assert len(receiver.server.bodies) == 1
    assert owed(pipeline) == [CALLBACK]


def test_a_look_goes_on_where_the_last_one_ended_and_soon_where_something_is_owed(
    alarmed: Alarmed,
) -> None:
    pipeline, now = alarmed(), [0.0]
    for number in range(PER_LOOK):
        pipeline.store.create(f"{OWED}2026-02-01/{number:03}", b"{}")
    post = pipeline.dispatcher.alarm_post
    owe(pipeline, Part.EVENT)
    alarms = OwedAlarms(lambda: now[0])
    alarms.send_due(post)
    pipeline.deliver()
    assert not pipeline.event_names()
    now[0] = OWED_LOOK_S
    alarms.send_due(post)
    pipeline.deliver()
    assert pipeline.event_names() == ["modal_budget_reached"]


def test_a_dispatcher_looks_from_time_to_time_and_only_where_there_are_budgets(
    alarmed: Alarmed, make_pipeline: MakePipeline
) -> None:
    pipeline, now = alarmed(), [0.0]
    alarms = OwedAlarms(lambda: now[0])
    for at, lists in ((0.0, 1), (LOOK_S - 1, 1), (LOOK_S, 2)):
        now[0] = at
        alarms.send_due(pipeline.dispatcher.alarm_post)
        assert pipeline.raw.calls["LIST"] == lists
    unbounded = make_pipeline()
    OwedAlarms().send_due(unbounded.dispatcher.alarm_post)
    assert not unbounded.raw.calls


def test_a_dispatcher_with_nothing_to_sign_with_does_not_begin(alarmed: Alarmed) -> None:
    with pytest.raises(InvalidSetting, match=r"budgets\.total\.alarm_url needs"):
        alarmed(f'alarm_url = "{URL}"\n', alarm_url=None, callback_secret=None)

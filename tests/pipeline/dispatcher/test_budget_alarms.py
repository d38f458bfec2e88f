import json
from contextlib import suppress
from dataclasses import replace
from datetime import date

import pytest

from config.budgets import BudgetTable
from config.errors import StoreUnavailable
from events.sink import MemorySink
from pipeline.contract.spend_entry import SpendEntry
from pipeline.dispatcher.budget_alarms import RAISED_A_TICK, BudgetAlarms
from pipeline.dispatcher.owed_alarms import OwedAlarms
from pipeline.queue.budgets import Ledger
from pipeline.store.base import OutcomeUnknown
from tests.support.pipeline_fixture import NOON, PipelineFixture

TODAY = date(2026, 3, 1)


def ledger(cents: int, *, tenants: tuple[str, ...] = ("acme",), **row: object) -> Ledger:
    table = BudgetTable.model_validate({"budgets": {"day": {"usd": 1.0, **row}}})
    made = Ledger(table, TODAY, "local")
    made.add_ended(
        SpendEntry(TODAY, f"old-{tenant}", cents * 100, tenant=tenant, platform="local")
        for tenant in tenants
    )
    return made


def told(pipeline: PipelineFixture, of: Ledger, alarms: BudgetAlarms | None = None) -> int:
    raised = (alarms or BudgetAlarms()).tell(of, pipeline.dispatcher.alarm_post, NOON)
    pipeline.deliver()
    return raised


@pytest.mark.parametrize(
    ("cents", "percents"), [(49, []), (50, [50]), (99, [50, 80]), (250, [50, 80, 100])]
)
def test_each_share_that_is_reached_is_told(
    pipeline: PipelineFixture, cents: int, percents: list[int]
) -> None:
    assert told(pipeline, ledger(cents)) == len(percents)
    keys = {f"alarms/2026-03-01/day.{percent}.json" for percent in percents}
    assert set(pipeline.keys("alarms/")) == keys
    assert pipeline.event_names() == ["modal_budget_reached"] * len(percents)
    assert not pipeline.keys("owed/")


def test_whoever_comes_second_or_looks_again_tells_nothing(pipeline: PipelineFixture) -> None:
    alarms = BudgetAlarms()
    assert told(pipeline, ledger(60), alarms) == 1
    pipeline.raw.calls.clear()
    assert told(pipeline, ledger(60), alarms) == 0
    assert not pipeline.raw.calls
    assert told(pipeline, ledger(60)) == 0
    assert pipeline.raw.calls == {"LIST": 1}
    assert len(pipeline.event_names()) == 1


def test_the_alarm_of_a_tenant_names_it_and_holds_the_event(pipeline: PipelineFixture) -> None:
    told(pipeline, ledger(50, tenant="*", on_exceeded="refuse"))
    (key,) = pipeline.keys("alarms/")
    assert key == "alarms/2026-03-01/day.acme.50.json"
    stored = pipeline.store.get(key)
    assert stored is not None
    event = json.loads(stored.body)["event"]
    assert event["distinct_id"] == "acme"
    assert event["properties"]["on_exceeded"] == "refuse"
    assert (event["properties"]["spent_usd"], event["properties"]["budget_usd"]) == (0.5, 1.0)


def test_a_tick_raises_a_few_and_the_next_look_the_others(pipeline: PipelineFixture) -> None:
    of = ledger(50, tenants=tuple(f"t-{n}" for n in range(RAISED_A_TICK + 5)), tenant="*")
    alarms = BudgetAlarms()
    assert [told(pipeline, of, alarms) for _ in range(3)] == [RAISED_A_TICK, 5, 0]


@pytest.mark.parametrize("at", range(1, 4))
@pytest.mark.parametrize("applied", [False, True])
def test_whoever_dies_between_its_writes_leaves_the_alarm_to_the_next(
    pipeline: PipelineFixture, at: int, applied: bool
) -> None:
    """The writes are what is owed, the alarm, and the take before the try."""
    dying = _Dying(at, applied)
    pipeline.raw.fail = dying.fail
    with suppress(StoreUnavailable):  # not where the sender's thread meets it
        told(pipeline, ledger(50))
    pipeline.deliver()
    assert dying.dead
    pipeline.raw.fail = lambda call, key: None
    pipeline.pass_time(100)
    pipeline.store.list("leases/")
    told(pipeline, ledger(50))
    bounded = replace(pipeline.runtime, budgets=ledger(50).table)
    OwedAlarms().send_due(replace(pipeline.dispatcher.alarm_post, runtime=bounded))
    pipeline.deliver()
    assert pipeline.keys("alarms/") == ["alarms/2026-03-01/day.50.json"]
    assert not pipeline.keys("owed/")
    assert isinstance(pipeline.sink, MemorySink)
    uuids = {event.uuid for event in pipeline.sink.events}
    assert len(uuids) == 1, "told at least once, and a second telling is the same event"


class _Dying:
    """The store answers nothing after the write of that number; that one may be applied."""

    def __init__(self, at: int, applied: bool) -> None:
        self._left, self._applied, self.dead = at, applied, False

    def fail(self, call: str, key: str) -> Exception | None:
        if self.dead:
            return OutcomeUnknown("dead")
        self._left -= call == "PUT"
        self.dead = self._left == 0
        return OutcomeUnknown("dead") if self.dead and not self._applied else None


def test_the_alarm_of_a_batch_lies_under_the_day_on_which_that_was_sent(
    pipeline: PipelineFixture,
) -> None:
    since = date(2026, 2, 27)
    of = ledger(0, tenant="acme", batch="autumn", since=since)
    of.add_ended([SpendEntry(since, "a", 5000, tenant="acme", platform="local", batch="autumn")])
    told(pipeline, of)
    assert pipeline.keys("alarms/") == ["alarms/2026-02-27/day.50.json"]
    assert isinstance(pipeline.sink, MemorySink)
    assert pipeline.sink.events[0].distinct_id == "acme"


def test_the_alarm_of_a_budget_for_all_is_no_tenants(pipeline: PipelineFixture) -> None:
    told(pipeline, ledger(50))
    assert isinstance(pipeline.sink, MemorySink)
    assert pipeline.sink.events[0].properties["tenant"] is None

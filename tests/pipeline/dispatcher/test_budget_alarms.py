import json
from datetime import date

import pytest

from config.budgets import BudgetTable
from pipeline.contract.spend_entry import SpendEntry
from pipeline.dispatcher.budget_alarms import BudgetAlarms
from pipeline.notify.job_events import Origin
from pipeline.queue.budgets import Ledger
from tests.support.pipeline_fixture import NOON, PipelineFixture

TODAY = date(2026, 3, 1)
ORIGIN = Origin("test", "local", "1")


def ledger(cents: int, **row: object) -> Ledger:
    table = BudgetTable.model_validate({"budgets": {"day": {"usd": 1.0, **row}}})
    made = Ledger(table, TODAY, "local")
    made.add_ended([SpendEntry(TODAY, "old", cents * 100, tenant="acme", platform="local")])
    return made


def told(pipeline: PipelineFixture, of: Ledger, alarms: BudgetAlarms | None = None) -> int:
    alarms = alarms or BudgetAlarms()
    raised = alarms.tell(of, pipeline.store, pipeline.sender, ORIGIN, NOON)
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


def test_whoever_comes_second_or_looks_again_tells_nothing(pipeline: PipelineFixture) -> None:
    alarms = BudgetAlarms()
    assert told(pipeline, ledger(60), alarms) == 1
    pipeline.raw.calls.clear()
    assert told(pipeline, ledger(60), alarms) == 0
    assert not pipeline.raw.calls
    assert told(pipeline, ledger(60)) == 0
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

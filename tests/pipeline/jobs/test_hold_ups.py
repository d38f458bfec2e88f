from pathlib import Path

import pytest

from config.errors import BudgetSpent
from pipeline.contract.error_info import error_info
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import JobCost
from pipeline.contract.spend_entry import BODY, SpendEntry
from pipeline.contract.stops import StopNote, StopScope
from pipeline.jobs.hold_ups import HoldUps, read_hold_ups
from pipeline.jobs.status import JobView, State
from pipeline.queue.stops import put_stop
from pipeline.store.base import Always
from tests.pipeline.conftest import MakePipeline
from tests.support.jobs import a_lease, a_result
from tests.support.pipeline_fixture import NOON, PipelineFixture

ROWS = """
[budgets.total]
usd = 2

[budgets.each]
tenant = "*"
usd = 1

[budgets.strict]
tenant = "acme"
usd = 0.5
on_exceeded = "refuse"
"""


@pytest.fixture
def pipeline(make_pipeline: MakePipeline, tmp_path: Path) -> PipelineFixture:
    path = tmp_path / "budgets.toml"
    path.write_text(ROWS)
    return make_pipeline(holding=True, budgets_file=path)


def spend(pipeline: PipelineFixture, usd: float, tenant: str = "acme") -> None:
    cost = JobCost(usd=usd, total_usd=usd)
    ended = a_result(id="old", tenant=tenant, cost=cost, finished_at=NOON, platform="local")
    pipeline.raw.put(SpendEntry.of(ended).key, BODY, Always())


def look(pipeline: PipelineFixture) -> HoldUps:
    return read_hold_ups(pipeline.store, pipeline.runtime)


def put(pipeline: PipelineFixture, *scopes: str) -> None:
    note = StopNote(reason="the bill", at=NOON)
    for key in scopes:
        scope = StopScope.parse(f"stops/{key}")
        assert scope is not None
        put_stop(pipeline.store, scope, note)


def test_where_nothing_is_stopped_or_used_up_no_job_has_a_reason_to_wait(
    pipeline: PipelineFixture,
) -> None:
    assert look(pipeline).why("acme", "flux-dev") == []


def test_the_widest_stop_that_a_job_falls_under_is_told_with_its_reason(
    pipeline: PipelineFixture,
) -> None:
    put(pipeline, "tenant.acme", "kind.flux-dev")
    acme = "an operator has stopped tenant acme since 2026-03-01 12:00 UTC: the bill"
    assert look(pipeline).why("acme", "flux-dev") == [acme]
    assert look(pipeline).why("zoo", "z-image-turbo") == []
    assert look(pipeline).why(None, None) == [], "of a bare key nothing is known"
    put(pipeline, "all")
    assert look(pipeline).why(None, None)[0].startswith("an operator has stopped all jobs since")


def test_of_a_stop_that_was_put_by_hand_the_store_knows_since_when(
    pipeline: PipelineFixture,
) -> None:
    pipeline.raw.put("stops/all", b"by hand", Always())
    assert look(pipeline).why(None, None) == [
        "an operator has stopped all jobs since 2026-03-01 12:00 UTC"
    ]


def test_a_budget_that_is_used_up_is_told_with_its_numbers_to_those_who_wait_for_it(
    pipeline: PipelineFixture,
) -> None:
    spend(pipeline, 1.0)
    assert look(pipeline).why("acme", "flux-dev") == [
        "the budget each of acme has $1, $1.0000 of it are spent or reserved today, UTC"
    ], "a budget that refuses lets nobody wait"
    assert look(pipeline).why("zoo", "flux-dev") == []


def test_what_runs_is_counted_as_reserved(pipeline: PipelineFixture) -> None:
    spend(pipeline, 0.25)
    running = a_lease(phase=Phase.RUNNING, estimate_usd=0.5, platform="local")
    pipeline.raw.put(lease_key("job"), running.body(), Always())
    used = {str(use.account): use for use in look(pipeline).budgets}
    assert used["total"].spent_usd == 0.25
    assert used["total"].used_usd == used["each of acme"].used_usd == 0.75
    assert used["total"].share == 0.375
    assert not used["total"].waited_for


def test_without_budgets_the_stops_alone_are_listed(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    assert look(pipeline) == HoldUps()
    assert pipeline.raw.calls == {"LIST": 1}
    assert not HoldUps().budgets
    assert not HoldUps().why("acme", "flux-dev")


def test_a_budget_that_jobs_wait_for_is_told_though_it_has_some_room(
    pipeline: PipelineFixture,
) -> None:
    short = error_info(BudgetSpent("it has no room", field="budget", value="each"))
    parked = a_lease(phase=Phase.RETRY, error=short)
    claimed = a_lease(error=short)
    over = a_lease(phase=Phase.RETRY, committed=True, estimate_usd=1.0)
    spend(pipeline, 0.9)

    def why(lease: Lease | None) -> int:
        view = JobView("job", State.RETRY, lease=lease)
        pipeline.raw.calls.clear()
        held = read_hold_ups(pipeline.store, pipeline.runtime, [view])
        assert pipeline.raw.calls == {"LIST": 2}, "stops/ and spend/"
        return len(held.why("acme", "flux-dev"))

    assert [why(each) for each in (parked, claimed, over, None)] == [1, 0, 0, 0]


def test_the_budget_of_a_batch_is_counted_since_its_day(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    path = tmp_path / "batch.toml"
    row = 'tenant = "acme"\nbatch = "autumn"\nsince = 2026-02-28\nusd = 1'
    path.write_text(f"[budgets.autumn]\n{row}\n")
    pipeline = make_pipeline(budgets_file=path)
    used = a_lease(phase=Phase.RUNNING, estimate_usd=1.0, batch="autumn")
    pipeline.raw.put(lease_key("job"), used.body(), Always())
    [why] = look(pipeline).why("acme", "character-sheet", "autumn")
    assert why.endswith("spent or reserved since 2026-02-28")
    assert look(pipeline).why("acme", "character-sheet", "winter") == []

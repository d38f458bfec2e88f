"""Budgets, as ticks keep them."""

from pathlib import Path

import pytest

from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Phase, Spent
from pipeline.contract.result import JobCost, Status
from pipeline.contract.spend_entry import BODY, SpendEntry
from pipeline.store.base import Always
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.dispatcher.test_survey import lease
from tests.support.jobs import a_result
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture


@pytest.fixture
def bounded(make_pipeline: MakePipeline, tmp_path: Path) -> "Bounded":
    return Bounded(make_pipeline, tmp_path)


class Bounded:
    def __init__(self, make: MakePipeline, folder: Path) -> None:
        self._make, self._path = make, folder / "budgets.toml"

    def __call__(self, rows: str) -> PipelineFixture:
        self._path.write_text(rows)
        return self._make(holding=True, budgets_file=self._path)


def spend(pipeline: PipelineFixture, id: str, usd: float, tenant: str = "acme") -> None:
    cost = JobCost(usd=usd, total_usd=usd)
    result = a_result(id=id, tenant=tenant, cost=cost, finished_at=NOON, platform="local")
    pipeline.raw.put(SpendEntry.of(result).key, BODY, Always())


def put(pipeline: PipelineFixture, id: str, tenant: str = "acme") -> None:
    pipeline.submit("", body(tenant=tenant), key=f"inbox/4.{tenant}.flux-dev.{id}.json")


def test_a_tenant_that_has_spent_its_budget_waits_and_others_go_on(bounded: Bounded) -> None:
    pipeline = bounded('[budgets.each]\ntenant = "*"\nusd = 1\n')
    spend(pipeline, "old", 1.0)
    put(pipeline, "a")
    put(pipeline, "b", "zoo")
    report = pipeline.tick()
    assert (report.spawned, report.waiting, report.held_up) == (1, 0, 1)
    assert pipeline.held.payloads[0].id == "b"
    assert pipeline.keys("leases/") == ["leases/b.json"]


def test_the_next_day_it_goes_on(bounded: Bounded) -> None:
    pipeline = bounded("[budgets.total]\nusd = 1\n")
    spend(pipeline, "old", 1.0)
    put(pipeline, "a")
    assert pipeline.tick().spawned == 0
    pipeline.pass_time(13 * 3600)
    pipeline.store.list("leases/")
    assert pipeline.tick().spawned == 1


def test_a_bare_key_s_tenant_is_judged_by_its_body_and_waits_as_a_retry(bounded: Bounded) -> None:
    pipeline = bounded('[budgets.acme]\ntenant = "acme"\nusd = 1\n')
    spend(pipeline, "old", 1.0)
    pipeline.submit("a", body(tenant="acme"))
    pipeline.tick()
    lease = pipeline.lease("a")
    assert (lease.phase, lease.tenant, lease.failures) == (Phase.RETRY, "acme", 0)
    assert lease.error is not None
    assert (lease.error.code, lease.error.value) == ("budget_spent", "acme")
    report = pipeline.tick()
    assert (report.taken_over, report.held_up, report.active) == (0, 1, False)


def test_a_budget_that_refuses_ends_the_job_with_the_numbers(bounded: Bounded) -> None:
    pipeline = bounded('[budgets.total]\nusd = 1\non_exceeded = "refuse"\n')
    spend(pipeline, "old", 1.25)
    put(pipeline, "a")
    assert pipeline.tick().committed == 1
    result = pipeline.result("a")
    assert result.error is not None
    assert (result.status, result.error.code) == (Status.REJECTED, "budget_spent")
    assert "$1.2500" in result.error.message


def test_a_take_over_passes_the_same_check(bounded: Bounded) -> None:
    pipeline = bounded("[budgets.total]\nusd = 1\n")
    put(pipeline, "a")
    pipeline.tick()
    spend(pipeline, "old", 1.0)
    pipeline.pass_time(2000)
    pipeline.store.list("leases/")
    report = pipeline.tick()
    assert (report.taken_over, report.spawned, len(pipeline.held.payloads)) == (1, 0, 1)
    assert pipeline.lease("a").phase is Phase.RETRY


def test_spend_is_listed_only_where_there_are_budgets_and_a_job_waits(bounded: Bounded) -> None:
    pipeline = bounded('[budgets.acme]\ntenant = "acme"\nusd = 1\n')
    for number in range(1001):
        spend(pipeline, f"old-{number}", 0.0001)
    pipeline.tick()  # a new dispatcher counts what may have ended before it
    pipeline.raw.calls.clear()
    pipeline.tick()
    assert pipeline.raw.calls == {"LIST": 2}
    put(pipeline, "a")
    report = pipeline.tick()
    assert report.lists == 2 + 1 + 2
    assert report.spawned == 1


def test_the_lease_of_another_dispatcher_counts_what_its_manifest_may_cost(
    bounded: Bounded,
) -> None:
    pipeline = bounded("[budgets.total]\nusd = 1\n")
    put(pipeline, "a")
    pipeline.tick()
    other = pipeline.another("other")
    put(pipeline, "b")
    pipeline.tick(other)
    known = other.memory.lease_cache.last("a")
    assert known is not None
    assert known.estimate_usd is not None


def test_a_tick_that_counts_tells_what_has_been_reached(bounded: Bounded) -> None:
    pipeline = bounded("[budgets.total]\nusd = 1\n")
    spend(pipeline, "old", 0.9)
    put(pipeline, "a")
    pipeline.tick()
    assert pipeline.keys("alarms/") == [
        "alarms/2026-03-01/total.50.json",
        "alarms/2026-03-01/total.80.json",
    ]
    assert pipeline.event_names().count("modal_budget_reached") == 2
    assert not pipeline.keys("owed/")


def test_a_share_that_the_last_job_reaches_is_told_though_no_other_waits(bounded: Bounded) -> None:
    pipeline = bounded("[budgets.total]\nusd = 1\n")
    put(pipeline, "a")
    pipeline.tick()
    spend(pipeline, "a", 0.5)
    pipeline.store.delete(lease_key("a"))  # as whoever delivers its result does, in this order
    pipeline.tick()
    assert pipeline.keys("alarms/") == ["alarms/2026-03-01/total.50.json"]


def test_what_a_stranger_wrote_under_spend_counts_nothing(bounded: Bounded) -> None:
    pipeline = bounded("[budgets.total]\nusd = 1\n")
    day = f"spend/{NOON.date()}/acme/local.flux-dev"
    for units in ("9" * 400, "-20000", "1e9", "nan"):
        pipeline.raw.put(f"{day}.{units}.-.x", b"?", Always())
    put(pipeline, "a")
    assert pipeline.tick().spawned == 1


@pytest.mark.parametrize("usd", ["NaN ", "-1e6"])
def test_a_lease_that_a_stranger_wrote_gives_no_budget_room(bounded: Bounded, usd: str) -> None:
    pipeline = bounded("[budgets.total]\nusd = 1\n")
    spend(pipeline, "old", 1.0)
    put(pipeline, "b")
    held = lease("x", spent=Spent(usd=7.25), estimate_usd=0.5).body().replace(b"7.25", usd.encode())
    pipeline.raw.put("leases/x.json", held, Always())
    assert [pipeline.tick().spawned for _ in range(3)] == [0, 0, 0]

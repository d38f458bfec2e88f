"""What an operator has stopped, as ticks see it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from events.sink import MemorySink, NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.contract.stops import ScopeKind, StopNote, StopScope
from pipeline.queue.stops import lift_stop, put_stop
from tests.pipeline.conftest import MakePipeline
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

ALL = StopScope(ScopeKind.ALL)
ACME = StopScope(ScopeKind.TENANT, "acme")
FLUX = StopScope(ScopeKind.KIND, "flux-dev")


class AwaySink(MemorySink):
    away = True

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        if self.away:
            raise NotDelivered("503")
        return super().deliver(events)


def put(pipeline: PipelineFixture, id: str, tenant: str = "acme", priority: int = 5) -> None:
    key = f"inbox/{9 - priority}.{tenant}.flux-dev.{id}.json"
    pipeline.submit("", body(tenant=tenant, priority=priority), key=key)


@pytest.mark.parametrize("scope", [ALL, ACME, FLUX])
def test_a_stopped_job_stays_in_the_inbox_and_runs_after_the_lift(
    pipeline: PipelineFixture, scope: StopScope
) -> None:
    put_stop(pipeline.store, scope, StopNote())
    put(pipeline, "job-1")
    report = pipeline.tick()
    assert (report.claimed, report.waiting, report.held_up, report.active) == (0, 0, 1, False)
    assert pipeline.keys("leases/") == []
    lift_stop(pipeline.store, scope)
    assert pipeline.tick().spawned == 1
    assert pipeline.result("job-1").status is Status.SUCCEEDED


def test_another_tenant_goes_on(pipeline: PipelineFixture) -> None:
    put_stop(pipeline.store, ACME, StopNote())
    put(pipeline, "job-1")
    put(pipeline, "job-2", "zoo")
    assert pipeline.tick().spawned == 1
    assert pipeline.result("job-2").status is Status.SUCCEEDED


def test_a_tenant_that_is_stopped_hides_no_other_in_a_long_inbox(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(holding=True)
    put_stop(pipeline.store, ACME, StopNote())
    for number in range(1200):
        put(pipeline, f"a-{number:04}", priority=9)
    put(pipeline, "late", "zoo", priority=0)
    assert sum(pipeline.tick().spawned for _ in range(3)) == 1
    assert [payload.id for payload in pipeline.held.payloads] == ["late"]


def test_a_bare_key_is_judged_by_its_body_and_handed_back(holding: PipelineFixture) -> None:
    put_stop(holding.store, ACME, StopNote())
    holding.submit("job-1", body(tenant="acme"))
    holding.tick()
    lease = holding.lease("job-1")
    assert (lease.phase, lease.tenant, lease.failures) == (Phase.RETRY, "acme", 0)
    assert lease.error is not None
    assert lease.error.code == "stopped"
    report = holding.tick()
    assert (report.taken_over, report.retrying, report.held_up, report.active) == (0, 0, 1, False)
    lift_stop(holding.store, ACME)
    assert holding.tick().spawned == 1


def test_a_lease_that_lapses_is_taken_over_and_not_started(holding: PipelineFixture) -> None:
    put(holding, "job-1")
    holding.tick()
    put_stop(holding.store, ALL, StopNote())
    holding.pass_time(2000)
    holding.store.list("leases/")
    report = holding.tick()
    assert (report.taken_over, report.spawned, len(holding.held.payloads)) == (1, 0, 1)
    assert holding.lease("job-1").phase is Phase.RETRY
    assert holding.tick().taken_over == 0


def test_a_stopped_job_that_was_read_ends_at_its_deadline(holding: PipelineFixture) -> None:
    put_stop(holding.store, ACME, StopNote())
    deadline = NOON + timedelta(hours=1)
    holding.submit("job-1", body(tenant="acme", deadline=deadline.isoformat()))
    holding.tick()
    assert holding.lease("job-1").deadline == deadline
    holding.pass_time(3601)
    holding.store.list("leases/")
    assert holding.tick().committed == 1
    error = holding.result("job-1").error
    assert error is not None
    assert error.code == "deadline_exceeded"


def test_what_a_finished_job_owes_still_goes_out(make_pipeline: MakePipeline) -> None:
    sink = AwaySink()
    pipeline = make_pipeline(sink=sink, turned=True)
    put(pipeline, "job-1")
    pipeline.tick()
    pipeline.deliver()
    assert pipeline.keys("leases/") == ["leases/job-1.json"]
    put_stop(pipeline.store, ALL, StopNote())
    sink.away = False
    for _ in range(3):
        pipeline.pass_time(3600)
        pipeline.store.list("leases/")
        pipeline.tick()
        pipeline.deliver()
    assert pipeline.keys("leases/") == []


def test_stops_are_listed_only_where_a_job_waits_or_is_due(holding: PipelineFixture) -> None:
    put_stop(holding.store, ALL, StopNote())
    holding.raw.calls.clear()
    holding.tick()
    assert holding.raw.calls == {"LIST": 2}
    put(holding, "job-1")
    holding.raw.calls.clear()
    holding.tick()
    assert holding.raw.calls == {"LIST": 3}

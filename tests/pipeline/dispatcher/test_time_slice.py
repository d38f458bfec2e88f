"""A running job makes room for another exactly where the plan would start one in its place."""

from datetime import timedelta
from typing import Any

import pytest

from pipeline.contract.lease import Lease, Phase
from pipeline.dispatcher.survey import Surveyor
from pipeline.dispatcher.tick import tick
from pipeline.dispatcher.time_slice import is_waited_for
from pipeline.queue.retries import as_waiting
from pipeline.store.base import Always
from tests.pipeline.conftest import MakePipeline
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

ONE_SLOT = "[routes.Flux]\nmax_in_flight = 1\n"
SHEET = a_lease(
    id="sheet",
    entry="inbox/4.acme.flux-dev.sheet.json",
    phase=Phase.RUNNING,
    ttl_s=60,
    submitted_at=NOON,
    started_at=NOON,
)


@pytest.fixture
def full(make_pipeline: MakePipeline) -> PipelineFixture:
    """A route with one slot, which the sheet has."""
    return running(make_pipeline(holding=True, routes=ONE_SLOT))


@pytest.fixture
def roomy(make_pipeline: MakePipeline) -> PipelineFixture:
    return running(make_pipeline(holding=True))


def running(pipeline: PipelineFixture) -> PipelineFixture:
    put(pipeline, SHEET)
    return pipeline


def put(pipeline: PipelineFixture, lease: Lease) -> None:
    pipeline.store.raw.put(f"leases/{lease.id}.json", lease.body(), Always())


def other(id: str, phase: Phase, **changes: Any) -> Lease:
    named = {"id": id, "entry": f"inbox/4.acme.flux-dev.{id}.json", "phase": phase, **changes}
    return SHEET.model_copy(update=named)


def submit(pipeline: PipelineFixture, key: str, model: str = "flux-dev") -> None:
    pipeline.store.raw.put(f"inbox/{key}.json", body(model=model, tenant="acme"), Always())


def waited_for(pipeline: PipelineFixture) -> bool:
    d = pipeline.dispatcher
    look = Surveyor(
        d.store,
        d.memory.lease_cache,
        d.memory.backlog,
        d.runtime,
        d.pool,
        lambda: 0.5,
        reads_bare=True,
    ).look()
    return is_waited_for(SHEET, look, d.runtime)


def test_nothing_waits(full: PipelineFixture) -> None:
    assert not waited_for(full)


def test_a_job_of_its_route_waits_for_the_only_slot(full: PipelineFixture) -> None:
    submit(full, "4.acme.flux-dev.a")
    assert waited_for(full)


def test_a_job_of_lower_priority_is_not_let_before_it(full: PipelineFixture) -> None:
    submit(full, "5.acme.flux-dev.a")
    assert not waited_for(full)


def test_a_job_that_has_aged_past_it_is(full: PipelineFixture) -> None:
    submit(full, "5.acme.flux-dev.a")
    full.pass_time(full.dispatcher.runtime.settings.aging_seconds)
    put(full, SHEET)
    assert waited_for(full)


def test_a_job_of_another_route_does_not_need_this_worker(full: PipelineFixture) -> None:
    submit(full, "4.acme.sdxl-instantid.a")
    assert not waited_for(full)


def test_a_free_slot_serves_who_waits(roomy: PipelineFixture) -> None:
    submit(roomy, "4.acme.flux-dev.a")
    assert not waited_for(roomy)


@pytest.mark.parametrize("phase", [Phase.CLAIMED, Phase.SPAWNED])
def test_a_job_that_was_claimed_and_not_started_waits_for_this_worker(
    roomy: PipelineFixture, phase: Phase
) -> None:
    put(roomy, other("b", phase))
    assert waited_for(roomy)


def test_a_bare_key_that_was_claimed_counts_by_its_manifest(roomy: PipelineFixture) -> None:
    put(roomy, other("b", Phase.CLAIMED, entry="inbox/b.json", model=None, tenant=None))
    roomy.pass_time(1)
    assert not waited_for(roomy), "nobody knows yet what it is"
    roomy.store.raw.put("jobs/b/manifest.json", body(tenant="acme"), Always())
    assert waited_for(roomy)


def test_one_of_another_route_waits_for_another_worker(roomy: PipelineFixture) -> None:
    put(roomy, other("b", Phase.SPAWNED, model="sdxl-instantid"))
    assert not waited_for(roomy)


def test_what_is_no_lease_waits_for_nobody(roomy: PipelineFixture) -> None:
    roomy.store.raw.put("leases/b.json", b"{", Always())
    assert not waited_for(roomy)


def test_slots_that_others_have_are_not_free(make_pipeline: MakePipeline) -> None:
    two = running(make_pipeline(holding=True, routes="[routes.Flux]\nmax_in_flight = 2\n"))
    submit(two, "4.acme.flux-dev.a")
    assert not waited_for(two)
    put(two, other("b", Phase.RUNNING, tenant="another"))
    assert waited_for(two)


def test_one_that_runs_elsewhere_does_not(roomy: PipelineFixture) -> None:
    put(roomy, other("b", Phase.RUNNING))
    assert not waited_for(roomy)


def test_a_retry_that_is_due_waits_like_any_job(full: PipelineFixture) -> None:
    put(full, other("b", Phase.RETRY, not_before=NOON + timedelta(seconds=60)))
    assert not waited_for(full)
    full.pass_time(60)
    assert waited_for(full)


def test_a_bare_key_counts_by_what_its_body_says(full: PipelineFixture) -> None:
    submit(full, "elsewhere", model="sdxl-instantid")
    assert not waited_for(full)
    submit(full, "here")
    full.pass_time(1)
    assert waited_for(full)


def test_a_bare_key_that_was_not_read_does_not_count(full: PipelineFixture) -> None:
    submit(full, "here")
    d = full.dispatcher
    look = Surveyor(
        d.store, d.memory.lease_cache, d.memory.backlog, d.runtime, d.pool, lambda: 0.5
    ).look()
    assert not is_waited_for(SHEET, look, d.runtime)


def test_what_yielded_waits_from_then_on_behind_those_that_waited_before() -> None:
    yielded = SHEET.yielded(NOON + timedelta(seconds=100))
    assert (yielded.phase, yielded.failures) == (Phase.RETRY, 0)
    assert as_waiting(yielded).entry.last_modified == NOON + timedelta(seconds=100)
    again = yielded.taken_over("n", "d", Phase.SPAWNED, 900, NOON + timedelta(seconds=200))
    assert (again.failures, again.attempt, again.yielded_at) == (0, 2, yielded.yielded_at)
    started = again.started(
        nonce="w",
        owner="w",
        attempt=2,
        call_id=None,
        ttl_s=60,
        rate_usd_per_s=0.0,
        now=NOON + timedelta(seconds=210),
    )
    assert started.waits_since == NOON


def test_the_job_that_it_made_room_for_is_taken_and_then_it_again(full: PipelineFixture) -> None:
    d = full.dispatcher
    full.store.raw.put("jobs/sheet/manifest.json", body(tenant="acme"), Always())
    submit(full, "4.acme.flux-dev.a")
    full.pass_time(10)
    put(full, SHEET.yielded(d.store.now()))
    tick(d)
    assert [payload.id for payload in full.held.payloads] == ["a"]
    full.store.delete("leases/a.json")
    tick(d)
    assert [payload.id for payload in full.held.payloads] == ["a", "sheet"]

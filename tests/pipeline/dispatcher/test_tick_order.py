"""Who is claimed next, by whole ticks over a bucket."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Phase
from pipeline.worker.execution import execute
from tests.pipeline.conftest import MakePipeline
from tests.support.instant_comfyui import HoldingEngine, away
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

ONE_SLOT = "[routes.Flux]\nmax_in_flight = 1\n"
TWO_SLOTS = "[routes.Flux]\nmax_in_flight = 2\n"


def submit(
    pipeline: PipelineFixture, id: str, *, priority: int = 5, tenant: str = "acme", **more: Any
) -> None:
    key = f"inbox/{9 - priority}.{tenant}.flux-dev.{id}.json"
    pipeline.submit(id, body(tenant=tenant, priority=priority, **more), key=key)


def spawned(pipeline: PipelineFixture) -> list[str]:
    return [payload.id for payload in pipeline.held.payloads]


def finish_all(pipeline: PipelineFixture) -> None:
    """A worker runs what was spawned."""
    payloads = list(pipeline.held.payloads)
    pipeline.held.payloads.clear()
    for payload in payloads:
        execute(payload, pipeline.context, call_id=None)
    pipeline.deliver()


def test_a_job_of_priority_5_starts_under_a_steady_stream_of_nines(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(holding=True, routes=ONE_SLOT, aging_seconds=10)
    submit(pipeline, "five")
    served: list[str] = []
    while "five" not in served:
        submit(pipeline, f"nine-{len(served)}", priority=9)
        pipeline.tick()
        served += spawned(pipeline)
        finish_all(pipeline)
        pipeline.pass_time(2)
        assert pipeline.now - NOON <= timedelta(seconds=4 * 10 + 2)
    assert len(served) == 21


def test_the_first_ids_in_byte_order_do_not_hold_up_the_others(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(holding=True, routes=TWO_SLOTS)
    draw = random.Random(1)
    order: list[str] = []
    for _ in range(12):
        order.append(f"{draw.getrandbits(32):08x}")
        submit(pipeline, order[-1])
        pipeline.pass_time(1)
    served: list[str] = []
    for _ in range(20):
        pipeline.tick()
        taken = sorted(spawned(pipeline), key=order.index)
        served += taken
        finish_all(pipeline)
        for _ in taken:
            order.append(f"{draw.getrandbits(32):08x}")
            submit(pipeline, order[-1])
        pipeline.pass_time(1)
    assert served == order[: len(served)]
    assert len(served) == 40


# Retries


def retry(pipeline: PipelineFixture, id: str, *, priority: int = 5, age_s: float = 0.0) -> None:
    lease = a_lease(
        id=id,
        entry=f"inbox/{9 - priority}.acme.flux-dev.{id}.json",
        phase=Phase.RETRY,
        not_before=NOON,
        submitted_at=NOON - timedelta(seconds=age_s),
    )
    pipeline.store.create(f"jobs/{id}/manifest.json", body(tenant="acme", priority=priority))
    pipeline.store.create(lease_key(id), lease.body())


@pytest.mark.parametrize("older", ["a", "z"])
def test_of_retries_the_oldest_gets_the_slot_whatever_its_id(
    make_pipeline: MakePipeline, older: str
) -> None:
    pipeline = make_pipeline(holding=True, routes=ONE_SLOT)
    for id in ("a", "z"):
        retry(pipeline, id, age_s=20 if id == older else 10)
    report = pipeline.tick()
    assert spawned(pipeline) == [older]
    assert (report.taken_over, report.claimed, report.retrying) == (1, 0, 2)


@pytest.mark.parametrize(("priority", "first"), [(9, "fresh"), (5, "again"), (1, "again")])
def test_a_retry_and_a_fresh_job_wait_for_the_same_slot_by_their_levels(
    make_pipeline: MakePipeline, priority: int, first: str
) -> None:
    pipeline = make_pipeline(holding=True, routes=ONE_SLOT)
    retry(pipeline, "again", age_s=20)
    submit(pipeline, "fresh", priority=priority)
    report = pipeline.tick()
    assert spawned(pipeline) == [first]
    assert (report.taken_over, report.claimed) == ((0, 1) if first == "fresh" else (1, 0))


def test_a_retry_ages_from_when_its_manifest_was_written(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True, routes=ONE_SLOT, aging_seconds=100)
    retry(pipeline, "again", age_s=400)
    pipeline.store.list("leases/")
    submit(pipeline, "fresh", priority=9)
    pipeline.tick()
    assert spawned(pipeline) == ["again"]


# Bare keys


def test_a_bare_job_runs_while_a_route_is_full_that_it_does_not_need(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(holding=True, routes=ONE_SLOT)
    for n in range(3):
        pipeline.submit(f"a-{n}", body())
    pipeline.submit("z", body(model="z-image-turbo"))
    pipeline.tick()
    assert sorted(spawned(pipeline)) == ["a-0", "z"]
    pipeline.raw.gets.clear()
    pipeline.tick()
    assert pipeline.raw.gets == []


def test_a_bare_job_counts_for_its_tenant_from_its_claim_on(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True, routes=TWO_SLOTS)
    pipeline.submit("bare", body(tenant="acme"))
    pipeline.tick()
    submit(pipeline, "again", tenant="acme")
    pipeline.pass_time(5)
    submit(pipeline, "other", tenant="zeta")
    pipeline.tick()
    assert spawned(pipeline) == ["bare", "other"]


def test_another_dispatcher_counts_it_from_its_start_on(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True, routes=TWO_SLOTS)
    engine = HoldingEngine()
    other = pipeline.another("other", engine)
    pipeline.submit("bare", body(tenant="acme"))
    pipeline.tick()
    pipeline.tick(other)
    running = pipeline.held.payloads[0].lease
    assert running is not None
    assert running.tenant == "acme"
    started = running.started(
        nonce="w",
        owner="worker",
        attempt=1,
        call_id=None,
        ttl_s=60,
        rate_usd_per_s=0,
        now=pipeline.now,
    )
    pipeline.store.replace(lease_key("bare"), started.body(), pipeline.held.payloads[0].etag)
    submit(pipeline, "again", tenant="acme")
    pipeline.pass_time(5)
    submit(pipeline, "young", tenant="zeta")
    pipeline.tick(other)
    assert [payload.id for payload in engine.payloads] == ["young"]


def test_a_bare_job_that_the_engine_did_not_take_keeps_what_was_read_of_it(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline(holding=True, routes=ONE_SLOT)
    pipeline.held.error = away()
    pipeline.submit("bare", body(tenant="acme"))
    pipeline.tick()
    lease = pipeline.lease("bare")
    assert (lease.phase, lease.model, lease.tenant) == (Phase.RETRY, "flux-dev", "acme")


# More than a page


def test_of_a_large_inbox_every_job_starts_and_each_once(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(holding=True, routes="[routes.Flux]\nmax_in_flight = 400\n")
    draw = random.Random(3)
    for _ in range(2600):
        submit(pipeline, f"{draw.getrandbits(64):016x}", tenant=draw.choice("abc"))
    for _ in range(8):
        report = pipeline.tick()
        assert report.lists <= 10
        for entry in pipeline.keys("leases/"):
            pipeline.raw._store.delete(entry)
    assert len(spawned(pipeline)) == 2600
    assert max(Counter(spawned(pipeline)).values()) == 1
    assert not pipeline.keys("inbox/")

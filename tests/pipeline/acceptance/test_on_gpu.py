from pathlib import Path

import pytest

from config.errors import IdConflict
from pipeline.acceptance.estimate import PricedJob, ready
from pipeline.acceptance.jobs import gpu_jobs
from pipeline.acceptance.on_gpu import place
from pipeline.contract.keys import manifest_key
from pipeline.store.base import Always
from tests.support.acceptances import SMALL, plan
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.simulation import RUNTIME, Simulation

GPU = "A100-80GB"


@pytest.fixture
def priced() -> PricedJob:
    part = {"input": SMALL}
    return ready(gpu_jobs(plan(gpus=part), "r", [GPU]), Path(), "default", RUNTIME)[0]


def test_any_dispatcher_spawns_it_on_that_gpu(holding: PipelineFixture, priced: PricedJob) -> None:
    place(holding.store, priced.prepared, GPU)

    report = holding.tick()

    assert (report.taken_over, report.spawned, report.claimed) == (1, 1, 0)
    payload = holding.held.payloads[0]
    assert (payload.id, payload.gpu, payload.model) == ("r-gpu-a100-80gb-01", GPU, "flux-dev")
    assert holding.lease(payload.id).attempt == 1


def test_placed_twice_it_runs_once(pipeline: PipelineFixture, priced: PricedJob) -> None:
    place(pipeline.store, priced.prepared, GPU)
    pipeline.tick()
    place(pipeline.store, priced.prepared, GPU)
    pipeline.tick()

    assert pipeline.result(priced.job.id).attempt == 1
    assert pipeline.keys("leases/") == []


def test_a_start_that_broke_off_after_the_manifest_is_gone_on_with(
    pipeline: PipelineFixture, priced: PricedJob
) -> None:
    pipeline.store.create(manifest_key(priced.job.id), priced.prepared.body)
    place(pipeline.store, priced.prepared, GPU)
    pipeline.tick()

    assert pipeline.result(priced.job.id).status == "succeeded"


def test_the_id_of_another_job_is_refused(pipeline: PipelineFixture, priced: PricedJob) -> None:
    pipeline.store.create(manifest_key(priced.job.id), b"{}")

    with pytest.raises(IdConflict):
        place(pipeline.store, priced.prepared, GPU)


def test_the_protocol_holds_when_it_is_submitted_as_well(priced: PricedJob) -> None:
    simulation = Simulation()
    place(simulation.process(), priced.prepared, GPU)
    simulation.bucket.put(priced.prepared.key, priced.prepared.body, Always())

    simulation.run_until_quiet(dispatchers=2, executions=2)

    assert list(simulation.sink.events)
    assert simulation.bucket.has(f"jobs/{priced.job.id}/result.json")
    simulation.close()

from pathlib import Path

import pytest

from config.errors import IdConflict
from config.settings import Settings
from pipeline.acceptance.criteria.criterion import Outcome
from pipeline.acceptance.gpus import on_gpus, place
from pipeline.acceptance.jobs import Job, PricedJob, Stage, gpu_jobs, priced
from pipeline.contract.keys import manifest_key
from pipeline.contract.result import Status
from pipeline.runtime import load_runtime
from pipeline.store.base import Always
from tests.support import simulation as simulated
from tests.support.acceptances import SMALL, metrics, outcome, plan
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.simulation import Simulation

RUNTIME = load_runtime(Settings(), "modal")
JOBS = priced(gpu_jobs(plan(), "r", ["L40S", "H100!"]), Path(), "acme", RUNTIME)


def on(gpu: str, seconds: float, cold: float = 0, took: str | None = None) -> Outcome:
    name = RUNTIME.gpus.gpu(took or gpu).name
    measured = metrics(seconds, cold=cold, gpu=name)
    return outcome(
        f"{gpu}-{seconds}", Stage.GPU, "flux-dev", gpu, metrics=measured, usd=seconds / 1e3
    )


def test_the_cold_job_is_told_apart_from_the_warm_ones() -> None:
    outcomes = [on("L40S", 30, cold=50), on("L40S", 9), on("L40S", 11), on("H100!", 4)]

    l40s, h100 = on_gpus(outcomes, JOBS, RUNTIME.gpus)

    assert (l40s.gpu, l40s.pictures, l40s.warm_seconds) == ("L40S", 3, 10)
    assert l40s.warm_usd == pytest.approx(0.01)
    assert (l40s.cold_seconds, l40s.cold_usd, l40s.cold_wait) == (80, 0.03, 3)
    assert l40s.cold_parts is not None
    assert (h100.warm_seconds, h100.cold_seconds, h100.why) == (4, None, "")
    assert (h100.estimate_seconds or 0) < (l40s.estimate_seconds or 0)


def test_a_job_that_ran_elsewhere_counts_nowhere() -> None:
    (row,) = on_gpus([on("L40S", 9), on("L40S", 3, took="H100")], JOBS, RUNTIME.gpus)

    assert (row.pictures, row.warm_seconds) == (1, 9)
    assert row.why == "L40S-3 ran on H100"


def test_what_is_missing_is_told() -> None:
    failed = outcome(
        "bad", Stage.GPU, "flux-dev", "L40S", status=Status.FAILED, error="out_of_memory"
    )
    late = Outcome(Job("late", Stage.GPU, "flux-dev", {}, "L40S"), None, "still running")

    (row,) = on_gpus([failed, late], JOBS, RUNTIME.gpus)

    assert (row.pictures, row.warm_usd) == (0, None)
    assert row.why == "bad failed (out_of_memory), late: still running"
    assert row.document()["warm_seconds"] is None


GPU = "A100-80GB"


@pytest.fixture
def job() -> PricedJob:
    part = {"input": SMALL}
    return priced(gpu_jobs(plan(gpus=part), "r", [GPU]), Path(), "default", simulated.RUNTIME)[0]


def test_any_dispatcher_spawns_it_on_that_gpu(holding: PipelineFixture, job: PricedJob) -> None:
    place(holding.store, job.prepared, GPU)

    report = holding.tick()

    assert (report.taken_over, report.spawned, report.claimed) == (1, 1, 0)
    payload = holding.held.payloads[0]
    assert (payload.id, payload.gpu, payload.model) == ("r-gpu-a100-80gb-01", GPU, "flux-dev")
    assert holding.lease(payload.id).attempt == 1


def test_placed_twice_it_runs_once(pipeline: PipelineFixture, job: PricedJob) -> None:
    place(pipeline.store, job.prepared, GPU)
    pipeline.tick()
    place(pipeline.store, job.prepared, GPU)
    pipeline.tick()

    assert pipeline.result(job.job.id).attempt == 1
    assert pipeline.keys("leases/") == []


def test_a_start_that_broke_off_after_the_manifest_is_gone_on_with(
    pipeline: PipelineFixture, job: PricedJob
) -> None:
    pipeline.store.create(manifest_key(job.job.id), job.prepared.body)
    place(pipeline.store, job.prepared, GPU)
    pipeline.tick()

    assert pipeline.result(job.job.id).status == "succeeded"


def test_the_id_of_another_job_is_refused(pipeline: PipelineFixture, job: PricedJob) -> None:
    pipeline.store.create(manifest_key(job.job.id), b"{}")

    with pytest.raises(IdConflict):
        place(pipeline.store, job.prepared, GPU)


def test_the_protocol_holds_when_it_is_submitted_as_well(job: PricedJob) -> None:
    simulation = Simulation()
    place(simulation.process(), job.prepared, GPU)
    simulation.bucket.put(job.prepared.key, job.prepared.body, Always())

    simulation.run_until_quiet(dispatchers=2, executions=2)

    assert list(simulation.sink.events)
    assert simulation.bucket.has(f"jobs/{job.job.id}/result.json")
    simulation.close()

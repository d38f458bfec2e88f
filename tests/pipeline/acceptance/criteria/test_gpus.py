from pathlib import Path

import pytest

from config.settings import Settings
from pipeline.acceptance.criteria.criterion import Outcome
from pipeline.acceptance.criteria.gpus import on_gpus
from pipeline.acceptance.estimate import ready
from pipeline.acceptance.jobs import Job, Stage, gpu_jobs
from pipeline.contract.result import Status
from pipeline.runtime import load_runtime
from tests.support.acceptances import metrics, outcome, plan

RUNTIME = load_runtime(Settings(), "modal")
ORDERS = ready(gpu_jobs(plan(), "r", ["L40S", "H100!"]), Path(), "acme", RUNTIME)


def on(gpu: str, seconds: float, cold: float = 0, took: str | None = None) -> Outcome:
    name = RUNTIME.gpus.gpu(took or gpu).name
    measured = metrics(seconds, cold=cold, gpu=name)
    return outcome(
        f"{gpu}-{seconds}", Stage.GPU, "flux-dev", gpu, metrics=measured, usd=seconds / 1e3
    )


def test_the_cold_job_is_told_apart_from_the_warm_ones() -> None:
    outcomes = [on("L40S", 30, cold=50), on("L40S", 9), on("L40S", 11), on("H100!", 4)]

    l40s, h100 = on_gpus(outcomes, ORDERS, RUNTIME.gpus)

    assert (l40s.gpu, l40s.pictures, l40s.warm_seconds) == ("L40S", 3, 10)
    assert l40s.warm_usd == pytest.approx(0.01)
    assert (l40s.cold_seconds, l40s.cold_usd, l40s.cold_wait) == (80, 0.03, 3)
    assert l40s.cold_parts is not None
    assert (h100.warm_seconds, h100.cold_seconds, h100.why) == (4, None, "")
    assert (h100.estimate_seconds or 0) < (l40s.estimate_seconds or 0)


def test_a_job_that_ran_elsewhere_counts_nowhere() -> None:
    (row,) = on_gpus([on("L40S", 9), on("L40S", 3, took="H100")], ORDERS, RUNTIME.gpus)

    assert (row.pictures, row.warm_seconds) == (1, 9)
    assert row.why == "L40S-3 ran on H100"


def test_what_is_missing_is_told() -> None:
    failed = outcome(
        "bad", Stage.GPU, "flux-dev", "L40S", status=Status.FAILED, error="out_of_memory"
    )
    late = Outcome(Job("late", Stage.GPU, "flux-dev", {}, "L40S"), None, "still running")

    (row,) = on_gpus([failed, late], ORDERS, RUNTIME.gpus)

    assert (row.pictures, row.warm_usd) == (0, None)
    assert row.why == "bad failed (out_of_memory), late: still running"
    assert row.document()["warm_seconds"] is None

"""Executions that do not end their job: it goes on elsewhere, and what was spent goes with it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from config.errors import NodeFailed, OutOfMemory, PromptInterrupted, RylaError
from handlers.comfyui.info import ComfyInfo
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Status
from pipeline.models.loads import ModelLoads
from pipeline.queue.spawn import SpawnPayload
from pipeline.worker.execution import Ending, execute
from tests.pipeline.worker.test_execution import interrupted, never, run, spawned
from tests.support.instant_comfyui import InstantServer, failing, worker_context
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture

# The platform takes the machine


def preempted(
    pipeline: PipelineFixture,
    payload: SpawnPayload,
    before: Callable[..., None],
    at: str = "render",
    **options: Any,
) -> Ending:
    """The notice comes while the first prompt runs, or before the job starts."""
    context = worker_context(
        pipeline.store, pipeline.delivery, pipeline.runtime, gpu=options.pop("gpu", "none")
    )

    def notice(**told: Any) -> None:
        context.preempted.set()
        before(**told)

    if at == "start":
        context.preempted.set()
    own = replace(context, server=InstantServer(notice), **options)
    ending = execute(payload, own, call_id="call-1")
    pipeline.deliver()
    return ending


def test_a_machine_that_is_taken_leaves_its_job_leased(holding: PipelineFixture) -> None:
    payload = spawned(holding)
    assert preempted(holding, payload, interrupted) is Ending.PREEMPTED
    lease = holding.lease("job-1")
    assert (lease.phase, lease.attempt, lease.error) == (Phase.RUNNING, 1, None)
    assert (lease.stopped, lease.preemptions, lease.failures) == (True, 1, 0)
    assert holding.keys("jobs/job-1/") == ["jobs/job-1/manifest.json"]


def test_the_same_input_goes_on_as_the_next_attempt_and_the_lost_one_is_paid(
    holding: PipelineFixture,
) -> None:
    payload = spawned(holding)
    preempted(holding, payload, interrupted, gpu="L40S")
    holding.pass_time(30)
    holding.store.list("leases/")
    assert run(holding, payload, gpu="L40S") is Ending.COMMITTED
    result = holding.result("job-1")
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    assert result.cost is not None
    assert result.cost.upper_bound
    second = 0.000542 + 4 * 0.0000131 + 48 * 0.00000222
    assert result.cost.total_usd - result.cost.usd == pytest.approx(30 * second, rel=1e-4)
    assert holding.event_names().count("modal_flux_dev_generation_completed") == 1


def test_pictures_that_are_made_already_are_committed_first(holding: PipelineFixture) -> None:
    assert preempted(holding, spawned(holding), _at_once) is Ending.COMMITTED
    assert holding.result("job-1").status is Status.SUCCEEDED


def test_a_rerun_after_a_notice_is_no_failure_and_one_without_is(holding: PipelineFixture) -> None:
    payload = spawned(holding)
    preempted(holding, payload, interrupted)
    preempted(holding, payload, interrupted)
    lease = holding.lease("job-1")
    assert (lease.attempt, lease.failures, lease.preemptions) == (2, 0, 2)

    silent = lease.with_(stopped=False)
    holding.store.write("leases/job-1.json", silent.body(), "application/json")
    preempted(holding, payload, interrupted)
    lease = holding.lease("job-1")
    assert (lease.attempt, lease.failures, lease.preemptions) == (3, 1, 3)


def test_a_job_that_fails_for_good_is_not_kept(holding: PipelineFixture) -> None:
    ending = preempted(holding, spawned(holding), failing(NodeFailed("broke")))
    assert ending is Ending.COMMITTED
    assert holding.result("job-1").status is Status.FAILED


def test_a_worker_that_goes_starts_nothing_more(holding: PipelineFixture) -> None:
    payload = spawned(holding)
    before = holding.lease("job-1")
    assert preempted(holding, payload, never, at="start") is Ending.PREEMPTED
    assert holding.lease("job-1") == before


def _at_once(**_: Any) -> None:
    """Made before the notice is looked at."""


# Weights


COMFYUI = ComfyInfo("comfyui", "0.8.0", "cuda:0 NVIDIA L40S : native")
LOADED = "modal_model_loaded"


def test_the_first_job_that_used_weights_tells_of_them(holding: PipelineFixture) -> None:
    context = worker_context(holding.store, holding.delivery, holding.runtime, gpu="L40S")
    own = replace(context, comfy=COMFYUI, loads=ModelLoads(holding.runtime.models))
    for id in ("job-1", "job-2"):
        holding.submit(id)
    holding.tick()
    for payload in holding.held.payloads:
        assert execute(payload, own, call_id=None) is Ending.COMMITTED
    results = [holding.result(payload.id) for payload in holding.held.payloads]
    told = [event for result in results for event in result.events if event.event == LOADED]
    (loaded,) = told
    assert (loaded.properties["model_name"], loaded.properties["source"]) == ("flux-dev", "local")
    assert (loaded.properties["model_size_mb"], loaded.properties["load_time_ms"]) == (
        34172.222,
        1000,
    )
    assert loaded in results[0].events


def test_what_was_loaded_for_a_job_that_is_kept_is_told_by_its_next_attempt(
    holding: PipelineFixture,
) -> None:
    payload = spawned(holding, body(input={"num_images": 2}))
    loads = ModelLoads(holding.runtime.models)
    calls = iter((_at_once, interrupted))

    def before(**options: Any) -> None:
        next(calls)(**options)

    assert preempted(holding, payload, before, comfy=COMFYUI, loads=loads) is Ending.PREEMPTED
    assert [event.event for event in holding.lease("job-1").events] == [LOADED]
    assert run(holding, payload) is Ending.COMMITTED
    assert [event.event for event in holding.result("job-1").events].count(LOADED) == 1


# Out of memory on a platform, where a larger GPU can be had


def ran_out(
    pipeline: PipelineFixture, payload: SpawnPayload, gpu: str, error: RylaError | None = None
) -> Ending:
    runtime = replace(pipeline.runtime, platform="modal")
    server = InstantServer(failing(error or OutOfMemory("full")))  # type: ignore[arg-type]
    context = worker_context(pipeline.store, pipeline.delivery, runtime, server, gpu=gpu)
    ending = execute(payload, context, call_id=None)
    pipeline.deliver()
    return ending


def retried(pipeline: PipelineFixture) -> Lease:
    pipeline.pass_time(600)
    pipeline.tick()
    return pipeline.lease("job-1")


def test_what_does_not_fit_goes_on_on_the_routes_next_gpu(holding: PipelineFixture) -> None:
    assert ran_out(holding, spawned(holding), "L40S") is Ending.RETRY
    lease = retried(holding)
    assert (lease.gpu, lease.attempt) == ("A100-80GB", 2)
    assert holding.held.payloads[-1].gpu == "A100-80GB"


def test_a_job_stays_on_the_larger_gpu_whatever_else_goes_wrong(holding: PipelineFixture) -> None:
    ran_out(holding, spawned(holding), "L40S")
    retried(holding)
    payload = holding.held.payloads[-1]
    assert ran_out(holding, payload, "A100-80GB", PromptInterrupted("stopped")) is Ending.RETRY
    assert retried(holding).gpu == "A100-80GB"


def test_what_fits_no_gpu_of_the_route_fails_at_once(holding: PipelineFixture) -> None:
    assert ran_out(holding, spawned(holding), "H100") is Ending.COMMITTED
    result = holding.result("job-1")
    assert (result.status, result.attempt) == (Status.FAILED, 1)
    assert result.error is not None
    assert result.error.code == "out_of_memory"


def test_on_a_machine_of_ones_own_it_is_tried_again_where_it_was(holding: PipelineFixture) -> None:
    assert run(holding, spawned(holding), failing(OutOfMemory("full")), gpu="L40S") is Ending.RETRY
    assert retried(holding).gpu is None

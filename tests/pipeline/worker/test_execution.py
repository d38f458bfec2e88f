import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from config.errors import ComfyDiskFull, NodeFailed, OutOfMemory, PromptInterrupted, StoreDenied
from config.routes import RouteTable
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.base import Always
from pipeline.worker.cold_start import ColdStart
from pipeline.worker.execution import Ending, execute
from tests.pipeline.conftest import MakePipeline
from tests.support.instant_comfyui import InstantServer, failing, worker_context
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture
from tests.support.stack import wait_until


def spawned(pipeline: PipelineFixture, manifest: bytes | None = None) -> SpawnPayload:
    """A job as it is handed to a worker."""
    pipeline.submit("job-1", manifest)
    pipeline.tick()
    (payload,) = pipeline.held.payloads
    return payload


def run(
    pipeline: PipelineFixture,
    payload: SpawnPayload,
    before: Callable[..., None] | None = None,
    **options: Any,
) -> Ending:
    server = InstantServer(before) if before else None
    context = worker_context(
        pipeline.store, pipeline.delivery, pipeline.runtime, server, gpu=options.pop("gpu", "none")
    )
    ending = execute(payload, context, **{"call_id": "call-1", **options})
    pipeline.deliver()
    return ending


def test_a_job_is_executed_without_a_single_read(holding: PipelineFixture) -> None:
    payload = spawned(holding)
    holding.raw.calls.clear()
    assert run(holding, payload) is Ending.COMMITTED
    outputs_and_metrics = 2
    assert holding.raw.calls == {"LIST": 1, "PUT": 3 + outputs_and_metrics, "DELETE": 1}


def test_the_lease_says_who_runs_it_and_what_a_second_costs(holding: PipelineFixture) -> None:
    seen = []
    payload = spawned(holding)
    run(holding, payload, lambda **_: seen.append(holding.lease("job-1")), gpu="L40S")
    (lease,) = seen
    assert (lease.phase, lease.owner, lease.call_id) == (Phase.RUNNING, "worker", "call-1")
    assert lease.claim == payload.claim != lease.nonce
    assert lease.rate_usd_per_s == pytest.approx(
        0.000542 + 4 * 0.0000131 + 48 * 0.00000222, rel=1e-6
    )


def test_a_job_costs_its_seconds_on_the_gpu_that_ran_it(holding: PipelineFixture) -> None:
    run(holding, spawned(holding), gpu="L40S", cold=ColdStart(comfyui=10.0))
    result = holding.result("job-1")
    assert result.metrics is not None
    assert result.cost is not None
    second = 0.000542 + 4 * 0.0000131 + 48 * 0.00000222
    assert result.metrics.gpu == "L40S"
    assert result.metrics.cold
    assert result.metrics.gpu_seconds == pytest.approx(result.metrics.total + 10)
    assert result.cost.usd == pytest.approx(second * result.metrics.gpu_seconds, rel=1e-4)
    assert result.cost.cold_usd == pytest.approx(second * 10, rel=1e-4)
    assert result.cost.total_usd == result.cost.usd
    assert result.cost.estimate_usd is not None


def test_queue_and_claim_are_read_off_the_stores_clock(holding: PipelineFixture) -> None:
    holding.submit("job-1")
    holding.pass_time(30)
    holding.tick()
    holding.pass_time(4)
    holding.store.list("leases/")
    run(holding, holding.held.payloads[0])
    metrics = holding.result("job-1").metrics
    assert metrics is not None
    assert (metrics.queue, metrics.claim) == (30, 4)
    assert (metrics.load, metrics.sampling) == (1, 2)


def test_earlier_attempts_are_paid_for_in_the_total(make_pipeline: MakePipeline) -> None:
    errors = failing(OutOfMemory("full"))
    pipeline = make_pipeline(server=InstantServer(errors), gpu="L40S", backoff_base_seconds=1)
    pipeline.submit("job-1")
    pipeline.tick()
    spent = pipeline.lease("job-1").spent
    pipeline.pass_time(60)
    pipeline.tick()
    cost = pipeline.result("job-1").cost
    assert cost is not None
    assert spent.usd > 0
    assert cost.total_usd == pytest.approx(spent.usd + cost.usd, abs=2e-8)
    assert not cost.upper_bound


def test_a_lost_attempt_is_paid_until_it_was_taken_over_and_marked_so(
    holding: PipelineFixture,
) -> None:
    holding.submit("job-1")
    holding.tick()
    server = InstantServer(failing())
    context = worker_context(holding.store, holding.delivery, holding.runtime, server, gpu="L40S")
    from pipeline.worker.execution import _begin

    assert _begin(holding.held.payloads[0], context, None) is not None
    holding.pass_time(100)
    holding.tick()
    run(holding, holding.held.payloads[1], gpu="L40S")
    cost = holding.result("job-1").cost
    assert cost is not None
    assert cost.upper_bound
    assert cost.total_usd - cost.usd == pytest.approx(100 * context.gpu.usd_per_second, rel=0.5)


# Executions that must not happen, or not matter


def test_a_job_that_was_taken_over_is_left_to_the_other(holding: PipelineFixture) -> None:
    payload = spawned(holding)
    holding.pass_time(1000)
    holding.tick()
    before = holding.keys()
    assert run(holding, payload, never) is Ending.STALE
    assert holding.keys() == before
    assert run(holding, holding.held.payloads[1]) is Ending.COMMITTED


def never(**_: Any) -> None:
    raise AssertionError("a stale job reached ComfyUI")


def test_a_cold_start_is_in_the_lease_from_the_start_on_and_in_no_other(
    holding: PipelineFixture,
) -> None:
    payload, cold = spawned(holding), ColdStart(comfyui=10.0)
    told: list[float] = []

    def note() -> None:
        lease = holding.lease("job-1")
        assert lease is not None
        told.append(lease.cold_s)

    assert run(holding, payload, cold=cold, on_start=note) is Ending.COMMITTED
    assert told == [10.0]
    assert run(holding, payload, never, cold=cold, on_start=note) is Ending.STALE
    assert told == [10.0], "who starts nothing pays nothing"


def test_a_job_that_is_finished_is_not_run_again(holding: PipelineFixture) -> None:
    payload = spawned(holding)
    run(holding, payload)
    assert run(holding, payload, never) is Ending.STALE


def test_the_same_input_twice_is_a_second_attempt_in_a_folder_of_its_own(
    holding: PipelineFixture,
) -> None:
    payload = spawned(holding)
    second: list[Ending] = []

    def meanwhile(**_: Any) -> None:
        second.append(run(holding, payload))

    assert run(holding, payload, meanwhile) is Ending.STALE
    assert second == [Ending.COMMITTED]
    result = holding.result("job-1")
    assert result.attempt == 2
    assert [output.key for output in result.outputs] == ["jobs/job-1/out/a2/image-0.png"]


def test_a_lost_lease_ends_the_job_without_a_word(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(
        holding=True, first_renew_seconds=0.1, renew_seconds=0.1, running_seconds=1
    )
    payload = spawned(pipeline)

    def taken_away(**options: Any) -> None:
        pipeline.store.raw.put("leases/job-1.json", b"theirs", Always())
        assert wait_until(options["should_stop"])

    assert run(pipeline, payload, taken_away) is Ending.STALE
    assert "jobs/job-1/result.json" not in pipeline.keys("jobs/")
    assert pipeline.keys("leases/") == ["leases/job-1.json"]


def test_a_result_that_stands_is_not_written_over(holding: PipelineFixture) -> None:
    payload = spawned(holding)

    def cancelled(**_: Any) -> None:
        holding.store.create("jobs/job-1/result.json", b"cancelled")

    assert run(holding, payload, cancelled) is Ending.STALE
    stored = holding.store.get("jobs/job-1/result.json")
    assert stored is not None
    assert stored.body == b"cancelled"
    assert "jobs/job-1/out/a1/metrics.json" not in holding.keys("jobs/")


def test_a_reference_too_small_for_all_is_read_up(holding: PipelineFixture) -> None:
    long = body("a cat " * 600, metadata={"note": "x" * 9000})
    payload = spawned(holding, long)
    assert payload.manifest is None
    assert run(holding, payload) is Ending.COMMITTED
    assert holding.result("job-1").metadata == {"note": "x" * 9000}


def test_a_bare_reference_finds_its_lease_and_its_manifest(holding: PipelineFixture) -> None:
    payload = spawned(holding).model_copy(update={"lease": None, "manifest": None})
    seen = []
    ending = run(holding, payload, lambda **_: seen.append(holding.lease("job-1").model))
    assert ending is Ending.COMMITTED
    assert seen == ["flux-dev"], "other dispatchers count it on its route"


@pytest.mark.parametrize("gone", ["lease", "claim"])
def test_a_bare_reference_whose_lease_moved_on_is_stale(
    holding: PipelineFixture, gone: str
) -> None:
    payload = spawned(holding).model_copy(update={"lease": None})
    if gone == "lease":
        holding.store.delete("leases/job-1.json")
    else:
        payload = payload.model_copy(update={"claim": "another"})
    assert run(holding, payload, never) is Ending.STALE


# What goes wrong


@pytest.mark.parametrize("moved_on", [False, True])
@pytest.mark.parametrize("bare", [False, True])
def test_a_job_of_a_route_that_this_worker_lacks_is_handed_back_as_no_failure(
    holding: PipelineFixture, bare: bool, moved_on: bool
) -> None:
    payload = spawned(holding)
    if bare:
        payload = payload.model_copy(update={"lease": None, "manifest": None})
    if moved_on:
        holding.pass_time(3600)
        holding.tick()
    before = holding.lease("job-1")
    older = replace(holding.runtime, routes=RouteTable(routes={}))
    context = worker_context(
        holding.store, holding.delivery, older, InstantServer(never), jitter=lambda: 1.0
    )

    ending = execute(payload, context, call_id="call-1")

    lease = holding.lease("job-1")
    if moved_on:
        assert (ending, lease) == (Ending.STALE, before)
        return
    assert ending is Ending.RETRY
    assert lease.phase is Phase.RETRY
    assert lease.not_before == holding.now + timedelta(
        seconds=holding.settings.backoff_base_seconds
    )
    assert (lease.attempt, lease.failures) == (1, 0)
    assert lease.error is not None
    assert "no route" in lease.error.message
    holding.pass_time(60)
    holding.tick()
    assert run(holding, holding.held.payloads[1]) is Ending.COMMITTED


def test_a_bug_fails_one_job_and_is_tried_again(make_pipeline: MakePipeline) -> None:
    def bug(**_: Any) -> None:
        raise KeyError("seed")

    pipeline = make_pipeline(holding=True, max_attempts=2)
    assert run(pipeline, spawned(pipeline), bug) is Ending.RETRY
    error = pipeline.lease("job-1").error
    assert error is not None
    assert error.code == "internal"
    pipeline.pass_time(60)
    pipeline.tick()
    assert run(pipeline, pipeline.held.payloads[1], bug) is Ending.COMMITTED
    result = pipeline.result("job-1")
    assert (result.status, result.error and result.error.code) == (Status.FAILED, "internal")


def test_a_failed_job_names_no_outputs_though_some_were_made(holding: PipelineFixture) -> None:
    payload = spawned(holding, body(input={"num_images": 3}))
    assert run(holding, payload, failing(None, NodeFailed("broke"))) is Ending.COMMITTED
    result = holding.result("job-1")
    assert (result.status, result.outputs) == (Status.FAILED, ())
    assert "jobs/job-1/out/a1/image-0.png" in holding.keys("jobs/")
    assert result.metrics is not None
    assert result.seed is not None


def test_a_picture_of_another_size_is_no_output(holding: PipelineFixture) -> None:
    payload = spawned(holding, body(input={"width": 512}))
    assert run(holding, payload) is Ending.RETRY
    error = holding.lease("job-1").error
    assert error is not None
    assert error.code == "output_invalid"
    assert not any("/out/a1/image" in key for key in holding.keys("jobs/"))


def test_metrics_that_cannot_be_stored_fail_nothing(holding: PipelineFixture) -> None:
    payload = spawned(holding)
    holding.raw.fail = lambda call, key: (
        StoreDenied("403") if key.endswith("metrics.json") else None
    )
    assert run(holding, payload) is Ending.COMMITTED
    assert holding.result("job-1").metrics is not None


def test_metrics_are_stored_behind_the_commit_and_not_by_whoever_loses_it(
    holding: PipelineFixture,
) -> None:
    payload = spawned(holding)
    puts: list[str] = []
    holding.raw.fail = lambda call, key: puts.append(key) if call == "PUT" else None
    assert run(holding, payload) is Ending.COMMITTED
    result, spent, metrics = puts[-3:]
    assert (result, metrics) == ("jobs/job-1/result.json", "jobs/job-1/out/a1/metrics.json")
    assert spent.startswith("spend/")
    holding.store.delete("jobs/job-1/out/a1/metrics.json")
    assert run(holding, payload, never) is Ending.STALE
    assert "jobs/job-1/out/a1/metrics.json" not in holding.keys("jobs/")


def test_an_attempt_that_is_handed_back_leaves_its_metrics(holding: PipelineFixture) -> None:
    assert run(holding, spawned(holding), failing(OutOfMemory("full"))) is Ending.RETRY
    assert "jobs/job-1/out/a1/metrics.json" in holding.keys("jobs/")


def test_a_manifest_that_vanished_fails_the_job(holding: PipelineFixture) -> None:
    payload = spawned(holding).model_copy(update={"manifest": None})
    holding.raw._store.delete("jobs/job-1/manifest.json")
    assert run(holding, payload) is Ending.COMMITTED
    result = holding.result("job-1")
    assert (result.status, result.tenant) == (Status.FAILED, "default")


def test_a_full_disk_sends_the_job_elsewhere(holding: PipelineFixture) -> None:
    server = InstantServer(failing(ComfyDiskFull("no space left on device")))
    context = worker_context(holding.store, holding.delivery, holding.runtime, server)
    assert execute(spawned(holding), context, call_id=None) is Ending.RETRY
    assert server.broken, "this worker takes no further job"


def test_a_callers_graph_that_runs_out_of_memory_is_not_tried_again(
    holding: PipelineFixture,
) -> None:
    payload = spawned(holding).model_copy(update={"model": "workflow"})
    server = InstantServer(failing(OutOfMemory("full")))
    context = worker_context(holding.store, holding.delivery, holding.runtime, server)
    assert execute(payload, context, call_id=None) is Ending.COMMITTED
    assert holding.result("job-1").status is Status.FAILED


def test_a_worker_that_must_go_hands_its_job_back(holding: PipelineFixture) -> None:
    payload = spawned(holding)
    context = worker_context(
        holding.store, holding.delivery, holding.runtime, InstantServer(interrupted)
    )
    context.stopping.set()
    assert execute(payload, context, call_id=None) is Ending.RETRY
    lease = holding.lease("job-1")
    assert (lease.phase, lease.error and lease.error.code) == (Phase.RETRY, "interrupted")
    assert (lease.failures, lease.preemptions, lease.not_before) == (0, 1, NOON)


def interrupted(**options: Any) -> None:
    assert options["should_stop"]()
    raise PromptInterrupted("stopped")


# What a retry repeats


def test_a_retry_asks_for_the_same_pictures_under_another_name(make_pipeline: MakePipeline) -> None:
    server = InstantServer(failing(None, OutOfMemory("full")))
    pipeline = make_pipeline(server=server, backoff_base_seconds=1)
    pipeline.submit("job-1", body(input={"num_images": 2}))
    pipeline.tick()
    pipeline.pass_time(60)
    pipeline.tick()
    first, second = (json.dumps(prompts) for prompts in _halves(server.instant.prompts))
    assert first != second
    assert first.replace("/a1/", "/a2/") == second
    assert pipeline.result("job-1").attempt == 2


def _halves(prompts: list[Any]) -> tuple[list[Any], list[Any]]:
    return prompts[:2], prompts[2:]


def test_another_id_gets_other_seeds_and_a_given_seed_is_kept(pipeline: PipelineFixture) -> None:
    for id, seed in (("a", None), ("b", None), ("zero", 0)):
        pipeline.submit(id, body(input={"seed": seed}))
    pipeline.tick()
    seeds = [pipeline.result(id).seed for id in ("a", "b", "zero")]
    assert seeds[0] != seeds[1]
    assert seeds[2] == 0


def test_warnings_and_metadata_stand_in_the_result(pipeline: PipelineFixture) -> None:
    manifest = body(metadata={"order": 7}, input={"cfg": 2.0, "negative_prompt": "blurry"})
    pipeline.submit("job-1", manifest)
    pipeline.tick()
    result = pipeline.result("job-1")
    assert result.metadata == {"order": 7}
    assert len(result.warnings) == 2
    assert result.submitted_at == pipeline.now
    assert result.finished_at - result.submitted_at == timedelta()

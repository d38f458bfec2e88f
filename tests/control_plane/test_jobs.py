"""What ran: jobs from the bucket through the deployed dispatcher and the deployed classes.

ComfyUI is the stand-in. Each test says with `@1` that only a job's first attempt is slow or fails.
"""

from typing import Any

import pytest

from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.modal_app.container_files import APP_FILE
from tests.pipeline.loras.support import flux_lora
from tests.support.deployed_app import ROOT, Deployed
from tests.support.modal_plane.processes import children, lives, peak_memory_mib
from tests.support.stack import wait_until

pytestmark = pytest.mark.xdist_group("deployed")

SLOW: dict[str, Any] = {"prompt": "a cat [[fault:slow=30@1]]", "input": {"steps": 50}}
"""Half a minute at the first attempt, in steps so short that an interrupt is soon heard."""


def test_ran_the_schedule_claims_and_the_classes_of_the_routes_render(ryla: Deployed) -> None:
    jobs = {"plain": ("flux-dev", "Flux"), "other": ("z-image-turbo", "ZImage")}
    for id, (model, _) in jobs.items():
        ryla.submit(id, model=model)
    for id, (_, route) in jobs.items():
        result = ryla.result(id, 60)
        assert (result.status, result.attempt) == (Status.SUCCEEDED, 1)
        ryla.check_outputs(result)
        assert result.provenance is not None
        assert result.provenance.app_version == ryla.app.functions[route].env["RYLA_APP_VERSION"]
        (run,) = ryla.runs(id, route)
        assert ryla.plane.outcome(run) == {"id": id, "ending": "committed"}
    # ZImage's container took the steps of a snapshot. The stand-in cannot be imported in the first.
    (said,) = [line for line in ryla.plane.log().splitlines() if "comfyui_not_forked" in line]
    assert "UnknownMain" in said


def test_ran_the_dispatchers_container_stays_small(ryla: Deployed) -> None:
    ryla.submit("small")
    ryla.result("small", 60)
    (container,) = ryla.plane.containers("dispatch")
    assert 20 < peak_memory_mib(ryla.plane.pid(container.id)) < 200


@pytest.mark.thorough
def test_ran_kill_9_of_a_container_ends_in_one_result(ryla: Deployed) -> None:
    ryla.submit("killed", **SLOW)
    run = ryla.wait_run("killed")
    ryla.wait_running("killed", 60)
    ryla.plane.kill(run.container)
    result = ryla.result("killed", 60)
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    ryla.check_outputs(result)
    again = ryla.wait_run("killed", 2)
    assert again.input is run.input, "the platform ran the input again, the lease did not lapse"
    assert ryla.plane.outcome(again)["ending"] == "committed"
    assert run.output is None


@pytest.mark.thorough
def test_ran_the_same_input_twice_at_once_commits_once(ryla: Deployed) -> None:
    ryla.plane.deliver_next_twice("Flux")
    ryla.submit("twice", "a cat [[fault:slow=8@1]]", input={"steps": 50})
    result = ryla.result("twice", 60)
    runs = [ryla.wait_run("twice", number) for number in (1, 2)]
    endings = sorted(ryla.plane.outcome(run)["ending"] for run in runs)
    assert endings == ["committed", "stale"]
    assert result.status is Status.SUCCEEDED
    ryla.check_outputs(result)
    # Mostly the second goes on as attempt 2. It gives way if the first renews in that very moment.
    folder = f"jobs/twice/out/a{result.attempt}/"
    assert all(key.startswith(folder) for key in ryla.keys("jobs/twice/out/"))


@pytest.mark.thorough
def test_ran_the_same_input_once_more_afterwards_pays_nothing(ryla: Deployed) -> None:
    ryla.submit("after")
    first = ryla.result("after", 60)
    ryla.wait_settled()
    (run,) = ryla.runs("after")
    ryla.plane.deliver_again(run)
    again = ryla.wait_run("after", 2)
    assert ryla.plane.outcome(again)["ending"] == "stale"
    assert ryla.find_result("after") == first
    assert ryla.keys("jobs/after/out/") == [
        key for key in ryla.keys("jobs/after/out/") if "/a1/" in key
    ]


@pytest.mark.thorough
def test_ran_preemption_keeps_the_lease_and_the_same_input_commits(ryla: Deployed) -> None:
    ryla.submit("preempted", **SLOW)
    run = ryla.wait_run("preempted")
    before = ryla.wait_running("preempted", 60)
    ryla.plane.preempt(run.container, grace_s=30)
    kept = ryla.lease("preempted")
    assert kept is not None
    assert kept.phase is Phase.RUNNING
    assert kept.claim == before.claim
    result = ryla.result("preempted", 60)
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    assert run.output is None, "an output would end the input: nothing would run again"
    assert ryla.plane.outcome(ryla.wait_run("preempted", 2))["ending"] == "committed"


@pytest.mark.thorough
def test_ran_out_of_memory_goes_to_the_next_gpu_whose_container_ends_in_order(
    ryla: Deployed,
) -> None:
    ryla.submit("big", "a cat [[fault:oom@1]]")
    result = ryla.result("big", 60)
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    first, second = ryla.runs("big")
    gpus = ryla.app.functions["Flux"].gpus
    assert (first.function.gpus, second.function.gpus) == (gpus, gpus[1:2])
    # Containers with that GPU are a pool of their own, so this one was started for the job.
    assert result.metrics is not None
    assert result.metrics.cold
    assert result.metrics.cold_parts is not None
    assert result.metrics.cold_parts.comfyui > 0
    started = children(ryla.plane.pid(second.container))
    assert started, "ComfyUI and what watches over it"
    ryla.wait_settled()
    assert ryla.plane.retire(second.container) == "exited with 0"
    assert not [pid for pid in started if lives(pid)]


def test_ran_a_lora_that_is_not_there_is_looked_for_pulled_and_committed(ryla: Deployed) -> None:
    ryla.store.create("loras/ann.safetensors", flux_lora())
    ryla.submit("adapted", model="flux-lora", input={"lora_name": "ann"})
    result = ryla.result("adapted", 60)
    assert result.status is Status.SUCCEEDED, result.error
    assert result.provenance is not None
    assert result.provenance.lora is not None
    asked = ryla.plane.asked_of("ryla-loras")
    assert set(asked) == {"reload", "commit"}


@pytest.mark.thorough
def test_ran_a_function_by_modal_run_as_the_docs_say(ryla: Deployed) -> None:
    command = ("run", f"{APP_FILE}::switch_models", "--action", "history")
    answer = ryla.plane.cli(*command, cwd=ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert '"action": "history"' in ryla.plane.log()


def test_ran_events_are_delivered_and_the_deployment_is_told_once(ryla: Deployed) -> None:
    ryla.submit("told")
    ryla.result("told", 60)
    ryla.wait_settled()

    def names() -> list[str]:
        return [event["event"] for event in ryla.posthog.accepted()]

    assert wait_until(lambda: "modal_flux_dev_generation_completed" in names())
    assert names().count("modal_app_deployed") == 1

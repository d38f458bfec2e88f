"""Jobs that go well and jobs that go wrong, one after the other in the same worker process."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from events.sink import MemorySink
from pipeline.contract.result import Status
from pipeline.jobs.cancel import Canceller
from pipeline.local.seaweed import SeaweedServer
from tests.support.seaweed import fresh_bucket
from tests.support.stack import Stack, quick, running, wait_until
from tests.support.xmp import read_provenance

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture(scope="module")
def stack(seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker for all tests here: what one job does to it, the next must survive."""
    bucket = fresh_bucket(seaweed, tmp_path_factory.mktemp("state"))
    with running(quick(bucket, max_attempts=2, job_timeout_seconds=3)) as stack:
        yield stack


def test_pictures_come_out_in_the_format_that_was_asked_for(stack: Stack) -> None:
    formats = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
    for name in formats:
        stack.submit(name, input={"output_format": name, "embed_prompt": name == "webp"})
    for name, content_type in formats.items():
        result = stack.result(name)
        (output,) = result.outputs
        assert result.status is Status.SUCCEEDED
        assert (output.content_type, output.width, output.height) == (content_type, 256, 256)
        told = read_provenance(stack.read(output.key))
        assert told["job_id"] == name
        assert told["digital_source_type"].endswith("trainedAlgorithmicMedia")
        assert told.get("prompt") == ("a cat" if name == "webp" else None)
        stack.check_outputs(result)


def test_the_metrics_lie_beside_the_outputs_and_in_the_result(stack: Stack) -> None:
    stack.submit("metrics")
    result = stack.result("metrics")
    assert result.metrics is not None
    assert result.provenance is not None
    assert wait_until(lambda: "jobs/metrics/out/a1/metrics.json" in stack.keys("jobs/metrics/"))
    assert stack.json("jobs/metrics/out/a1/metrics.json") == result.metrics.model_dump(mode="json")
    assert (result.metrics.gpu, result.metrics.cold) == ("none", False)
    assert result.metrics.total > 0
    assert result.provenance.engine == "standin"
    assert result.provenance.graph_sha256
    assert result.provenance.models == {}, "no model made these pictures"


def test_each_picture_of_a_job_is_an_output_with_a_seed_of_its_own(stack: Stack) -> None:
    stack.submit("eight", input={"num_images": 8})
    result = stack.result("eight")
    assert [output.key for output in result.outputs] == [
        f"jobs/eight/out/a1/image-{n}.png" for n in range(8)
    ]
    assert len({output.seed for output in result.outputs}) == 8
    assert len({output.sha256 for output in result.outputs}) == 8
    stack.check_outputs(result)


FAULTS = {
    "error": ("node_failed", 1, Status.FAILED),
    "oom": ("out_of_memory", 2, Status.FAILED),
    "oom@1": (None, 2, Status.SUCCEEDED),
    "die@1": (None, 2, Status.SUCCEEDED),
    "drop-output": ("outputs_missing", 2, Status.FAILED),
    "garbage-output": ("output_invalid", 2, Status.FAILED),
    "garbage-output@1": (None, 2, Status.SUCCEEDED),
}


def test_what_goes_wrong_in_one_job_is_named_and_touches_no_other(stack: Stack) -> None:
    ids = {fault: fault.replace("@", "-at-") for fault in FAULTS}
    for fault, id in ids.items():
        stack.submit(id, f"[[fault:{fault}]]")
        stack.submit(f"beside-{id}")
    for fault, (code, attempt, status) in FAULTS.items():
        result = stack.result(ids[fault], 40)
        assert (result.status, result.attempt) == (status, attempt), (fault, result.error)
        assert (result.error.code if result.error else None) == code
        beside = stack.result(f"beside-{ids[fault]}")
        assert (beside.status, beside.attempt) == (Status.SUCCEEDED, 1)
    stack.wait_settled()


def test_a_failure_of_comfyui_comes_with_its_last_log_lines(stack: Stack) -> None:
    stack.submit("dies", "[[fault:die]]")
    error = stack.result("dies", 40).error
    assert error is not None
    assert error.code == "comfyui_died"
    assert error.retryable
    assert error.log_tail


@pytest.mark.thorough
def test_a_comfyui_that_hangs_is_given_up_and_the_job_tried_again(stack: Stack) -> None:
    stack.submit("hangs", "[[fault:hang@1]]")
    result = stack.result("hangs", 40)
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    stack.submit("after-it")
    assert stack.result("after-it").attempt == 1


def test_a_cancelled_job_is_given_up_at_the_next_renewal(stack: Stack) -> None:
    stack.submit("slow", "[[fault:slow=50]]", input={"steps": 50})
    stack.wait_running("slow")
    canceller = Canceller(stack.store, stack.runtime, MemorySink(), "test")
    canceller.cancel("slow")
    stack.submit("next")
    assert stack.result("next", 30).status is Status.SUCCEEDED  # long before the other would end
    result = stack.result("slow")
    assert (result.status, result.outputs) == (Status.CANCELLED, ())
    stack.wait_settled()


def test_the_events_of_each_job_reach_the_file(stack: Stack) -> None:
    stack.submit("told")
    stack.result("told")
    stack.wait_settled()
    lines = (stack.settings.state_dir / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    names = {e["event"] for e in events if e["properties"].get("engine") == "standin"}
    assert "modal_flux_dev_generation_completed" in names


@pytest.mark.thorough
def test_a_dead_worker_is_replaced_and_its_job_taken_up_again(stack: Stack) -> None:
    stack.submit("cut-off", "[[fault:slow=0.7@1]]", input={"num_images": 4})
    lease = stack.wait_running("cut-off")
    (pid,) = stack.engine.pids()
    assert str(pid) in lease.owner
    first = "jobs/cut-off/out/a1/image-0.png"
    assert wait_until(lambda: stack.store.get(first))
    os.kill(pid, signal.SIGKILL)
    result = stack.result("cut-off")
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    assert len(result.outputs) == 4
    assert stack.read(first) == stack.read(result.outputs[0].key)
    assert stack.engine.pids() != (pid,)
    stack.wait_settled()

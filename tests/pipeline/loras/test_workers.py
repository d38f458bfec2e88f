"""Jobs with a LoRA through worker processes, the stand-in and a real store."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping

import pytest

from pipeline.contract.result import Result, Status
from pipeline.local.seaweed import SeaweedServer
from pipeline.loras.cache import lora_folder
from tests.pipeline.loras.support import flux_lora, z_image_lora
from tests.support.seaweed import fresh_bucket
from tests.support.stack import Stack, quick, running, wait_until

pytestmark = pytest.mark.xdist_group("local-engine")

NESTED = "loras/flux-character-ann/job-1.safetensors"
BINARY = "application/octet-stream"


@pytest.fixture(scope="module")
def stack(seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = quick(fresh_bucket(seaweed, tmp_path_factory.mktemp("state")), lora_cache_gib=0.1)
    left = lora_folder(settings) / "files" / f"{'0' * 64}.safetensors"
    left.parent.mkdir(parents=True)
    left.touch()
    os.truncate(left, 2**28)
    os.utime(left, (0, 0))
    with running(settings) as stack:
        stack.store.write(NESTED, flux_lora(1), BINARY)
        yield stack


def loaded(result: Result) -> Mapping[str, object]:
    (event,) = [each for each in result.events if each.event == "modal_lora_loaded"]
    return event.properties


def files(stack: Stack) -> set[str]:
    return {file.stem for file in (lora_folder(stack.settings) / "files").iterdir()}


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def picture(result: Result) -> str:
    assert result.status is Status.SUCCEEDED, result.error
    return result.outputs[0].sha256


def test_a_second_job_finds_the_file_and_makes_the_same_picture_of_the_same_seed(
    stack: Stack,
) -> None:
    fields = {"lora_id": "ann", "seed": 7}
    stack.submit("first", model="flux-lora", input=fields)
    first = stack.result("first")
    stack.submit("second", model="flux-lora", input=fields)
    second = stack.result("second")
    stack.submit("without", model="flux-dev", input={"seed": 7})

    assert [loaded(each)["cached"] for each in (first, second)] == [False, True]
    assert first.provenance is not None
    assert second.provenance is not None
    assert first.provenance.lora == second.provenance.lora
    assert first.provenance.lora is not None
    assert first.provenance.lora.model_dump() == {"key": NESTED, "sha256": sha256(flux_lora(1))}
    assert first.provenance.graph_sha256 == second.provenance.graph_sha256
    assert picture(stack.result("without")) != picture(first)


def test_what_nobody_used_for_long_is_evicted_and_what_is_in_use_stays(stack: Stack) -> None:
    stack.submit("used", model="flux-lora", input={"lora_id": "ann"})
    stack.result("used")

    assert wait_until(lambda: files(stack) == {sha256(flux_lora(1))}), files(stack)


def test_a_file_that_was_deleted_from_the_folder_is_pulled_again(stack: Stack) -> None:
    stack.submit("warm", model="flux-lora", input={"lora_id": "ann"})
    stack.result("warm")
    shutil.rmtree(lora_folder(stack.settings) / "files")
    stack.submit("cold", model="flux-lora", input={"lora_id": "ann"})

    result = stack.result("cold")

    assert result.status is Status.SUCCEEDED
    assert loaded(result)["cached"] is False


def test_a_wrong_one_never_comes_to_a_worker(stack: Stack) -> None:
    stack.store.write("loras/wrong.safetensors", z_image_lora(), BINARY)
    stack.submit("wrong", model="flux-lora", input={"lora_name": "wrong"})

    result = stack.result("wrong")

    assert result.status is Status.REJECTED
    assert result.error is not None
    assert result.error.code == "lora_mismatch"
    assert sha256(z_image_lora()) not in files(stack)

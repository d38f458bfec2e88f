"""Jobs with a LoRA through the dispatcher and the worker, over a store in memory."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from config.errors import OutOfMemory
from events.stored_event import StoredEvent
from pipeline.contract.result import Result, Status, UsedLora
from pipeline.store.base import Always, OutcomeUnknown
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.loras.support import flux_lora, tiny_lora, z_image_lora
from tests.support.instant_comfyui import InstantServer, failing
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.safetensors_files import with_header

CHARACTER = "loras/character-ann.safetensors"
LEGACY = "loras/flux-character-ann.safetensors"
NESTED = "loras/flux-character-ann/"


@pytest.fixture
def pipeline(make_pipeline: MakePipeline, tmp_path: Path) -> PipelineFixture:
    return make_pipeline(state_dir=tmp_path, server=InstantServer(), backoff_base_seconds=0)


def upload(pipeline: PipelineFixture, key: str, content: bytes, **sidecar: str) -> None:
    """A minute after the one before."""
    pipeline.pass_time(60)
    store = pipeline.raw._store
    store.put(key, content, Always())
    if sidecar:
        beside = key.removesuffix(".safetensors") + ".json"
        store.put(beside, json.dumps(sidecar).encode(), Always())


def run(
    pipeline: PipelineFixture, id: str = "job", model: str = "flux-lora", **fields: Any
) -> Result:
    fields = fields or {"lora_id": "ann"}
    pipeline.submit(id, body(model=model, input=fields))
    pipeline.tick()
    return pipeline.result(id)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def used(result: Result) -> UsedLora | None:
    assert result.provenance is not None, result.error
    return result.provenance.lora


def event(result: Result, name: str) -> StoredEvent:
    (found,) = [each for each in result.events if each.event == name]
    return found


def prompts(pipeline: PipelineFixture) -> list[Any]:
    server = pipeline.context.server
    assert isinstance(server, InstantServer)
    return list(server.instant.prompts)


def refusal(result: Result, pipeline: PipelineFixture) -> str:
    """The code of a job that no prompt was sent for."""
    assert result.status is Status.REJECTED
    assert result.error is not None
    assert prompts(pipeline) == []
    assert result.metrics is None
    return result.error.code


def test_the_picture_is_made_with_the_lora_and_the_result_says_which(
    pipeline: PipelineFixture,
) -> None:
    content = flux_lora()
    upload(pipeline, CHARACTER, content, trigger_word="ohwx woman", family="flux")

    result = run(pipeline, lora_id="ann", lora_strength=0.8)

    assert result.status is Status.SUCCEEDED
    assert used(result) == UsedLora(key=CHARACTER, sha256=sha256(content))
    (graph,) = prompts(pipeline)
    assert graph["lora"]["inputs"]["lora_name"] == f"{sha256(content)}.safetensors"
    assert graph["lora"]["inputs"]["strength_model"] == 0.8
    assert graph["prompt"]["inputs"]["text"].startswith("ohwx woman ")
    loaded = event(result, "modal_lora_loaded").properties
    assert {
        name: loaded[name] for name in ("lora_id", "lora_file", "sha256", "cached", "kind")
    } == {
        "lora_id": "ann",
        "lora_file": CHARACTER,
        "sha256": sha256(content),
        "cached": False,
        "kind": "flux-lora",
    }
    assert loaded["lora_size_mb"] == round(len(content) / 1e6, 3)


def test_z_image_takes_one_of_its_own_family_alone(pipeline: PipelineFixture) -> None:
    upload(pipeline, "loras/film.safetensors", z_image_lora())
    upload(pipeline, "loras/flux.safetensors", flux_lora())

    fine = run(pipeline, "fine", "z-image-turbo", lora_name="film")
    plain = run(pipeline, "plain", "z-image-turbo", seed=1)
    wrong = run(pipeline, "wrong", "z-image-turbo", lora_name="flux")

    assert used(fine) == UsedLora(key="loras/film.safetensors", sha256=sha256(z_image_lora()))
    assert used(plain) is None
    assert [each.event for each in plain.events] == [
        "modal_z_image_turbo_generation_requested",
        "modal_z_image_turbo_generation_completed",
    ]
    assert wrong.error is not None
    assert wrong.error.code == "lora_mismatch"
    assert len(prompts(pipeline)) == 2


def test_a_lora_is_found_in_the_order_of_the_habits(pipeline: PipelineFixture) -> None:
    def found(id: str) -> str | None:
        lora = used(run(pipeline, id))
        return lora.key if lora else None

    upload(pipeline, f"{NESTED}job-1.safetensors", flux_lora(1))
    upload(pipeline, f"{NESTED}job-3.safetensors", flux_lora(3))
    upload(pipeline, f"{NESTED}job-2.safetensors", flux_lora(2))
    assert found("newest-training") == f"{NESTED}job-2.safetensors"
    upload(pipeline, LEGACY, flux_lora(4))
    assert found("legacy") == LEGACY
    upload(pipeline, CHARACTER, flux_lora(5))
    assert found("character") == CHARACTER

    pinned = used(run(pipeline, "pinned", lora_id="ann", lora_version="job-3"))
    assert pinned == UsedLora(key=f"{NESTED}job-3.safetensors", sha256=sha256(flux_lora(3)))


def test_it_is_pulled_once(pipeline: PipelineFixture) -> None:
    upload(pipeline, CHARACTER, flux_lora())
    run(pipeline, "first")
    pipeline.raw.gets.clear()

    second = run(pipeline, "second")

    loaded = event(second, "modal_lora_loaded").properties
    assert (loaded["cached"], loaded["load_time_ms"]) == (True, 0)
    assert pipeline.raw.gets.count(CHARACTER) == 1, "its header, read by the dispatcher"
    assert (
        event(run(pipeline, "third"), "modal_lora_loaded").uuid
        != event(second, "modal_lora_loaded").uuid
    )


def test_a_replaced_one_is_fresh(pipeline: PipelineFixture) -> None:
    upload(pipeline, CHARACTER, flux_lora(1))
    run(pipeline, "before")
    upload(pipeline, CHARACTER, flux_lora(2))

    after = run(pipeline, "after")

    assert used(after) == UsedLora(key=CHARACTER, sha256=sha256(flux_lora(2)))
    assert event(after, "modal_lora_loaded").properties["cached"] is False
    assert len({graph["lora"]["inputs"]["lora_name"] for graph in prompts(pipeline)}) == 2


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        pytest.param(None, "lora_not_found", "no LoRA 'ann'", id="none"),
        pytest.param(z_image_lora(), "lora_mismatch", "is one for z-image", id="other family"),
        pytest.param(tiny_lora(), "lora_mismatch", r"wanted [2, 3072]", id="other sizes"),
        pytest.param(b"PK\x03\x04 archive/data.pkl", "lora_unreadable", "(pickle)", id="pickle"),
        pytest.param(with_header({}) + b"x", "lora_unreadable", "has more after", id="damaged"),
        pytest.param(flux_lora()[:-1], "lora_unreadable", "is cut off", id="cut off"),
    ],
)
def test_a_lora_that_cannot_work_is_refused_before_any_prompt_is_sent(
    pipeline: PipelineFixture, content: bytes | None, code: str, reason: str
) -> None:
    if content is not None:
        upload(pipeline, CHARACTER, content)

    result = run(pipeline)

    assert refusal(result, pipeline) == code
    assert result.error is not None
    assert reason in result.error.message
    assert result.error.hint
    told = [each.event for each in result.events]
    assert told == [
        "modal_lora_generation_requested",
        "modal_lora_load_failed",
        "modal_lora_generation_failed",
    ]
    failed = event(result, "modal_lora_load_failed").properties
    assert (failed["lora_id"], failed["error_code"]) == ("ann", code)
    assert (failed["reason"], failed["error_type"]) == (result.error.message, "workflow_error")
    assert failed["lora_file"] == (None if content is None else CHARACTER)
    assert failed["lora_size_mb"] == (None if content is None else round(len(content) / 1e6, 3))
    assert failed["load_time_ms"] is not None
    assert set(pipeline.event_names()) == set(told)


def test_a_name_that_cannot_be_a_key_is_a_wrong_field(pipeline: PipelineFixture) -> None:
    assert refusal(run(pipeline, lora_name="../secrets"), pipeline) == "invalid_field"


def test_a_sidecar_that_lies_is_refused(pipeline: PipelineFixture) -> None:
    upload(pipeline, CHARACTER, flux_lora(), family="sdxl")
    assert refusal(run(pipeline), pipeline) == "lora_mismatch"


def test_a_store_that_does_not_answer_says_nothing_of_the_job(pipeline: PipelineFixture) -> None:
    upload(pipeline, CHARACTER, flux_lora())
    pipeline.raw.fail = lambda call, key: (
        OutcomeUnknown("timeout") if key.startswith("loras/") else None
    )
    pipeline.submit("job", body(model="flux-lora", input={"lora_id": "ann"}))
    pipeline.tick()
    assert pipeline.keys("jobs/job/result") == []

    pipeline.raw.fail = lambda call, key: None
    pipeline.pass_time(3600)
    pipeline.tick()

    assert pipeline.result("job").status is Status.SUCCEEDED


def replaced_before_the_worker(pipeline: PipelineFixture, content: bytes | None) -> Result:
    """The dispatcher saw a right one; what the worker finds is another, or none."""
    upload(pipeline, CHARACTER, flux_lora())

    looks = 0

    def swap(call: str, key: str) -> None:
        """At the worker's look, which is the second listing of the place."""
        nonlocal looks
        if (call, key) == ("LIST", CHARACTER):
            looks += 1
            if looks == 2 and content is None:
                pipeline.raw._store.delete(CHARACTER)
            elif looks == 2 and content is not None:
                pipeline.raw._store.put(CHARACTER, content, Always())

    pipeline.raw.fail = swap
    return run(pipeline)


@pytest.mark.parametrize(
    ("content", "code"),
    [(z_image_lora(), "lora_mismatch"), (b"<html>", "lora_unreadable"), (None, "lora_not_found")],
)
def test_what_the_worker_has_is_checked_again(
    pipeline: PipelineFixture, content: bytes | None, code: str
) -> None:
    result = replaced_before_the_worker(pipeline, content)

    assert result.status is Status.FAILED
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == (code, False)
    assert result.outputs == ()
    assert prompts(pipeline) == []
    assert [each.event for each in result.events] == [
        "modal_lora_generation_requested",
        "modal_lora_load_failed",
        "modal_lora_generation_failed",
    ]


def test_each_attempt_tells_of_its_lora(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    server = InstantServer(failing(OutOfMemory("no room")))
    pipeline = make_pipeline(state_dir=tmp_path, server=server, backoff_base_seconds=0)
    upload(pipeline, CHARACTER, flux_lora())
    pipeline.submit("job", body(model="flux-lora", input={"lora_id": "ann"}))
    for _ in range(3):
        pipeline.tick()
        pipeline.pass_time(60)

    result = pipeline.result("job")

    loaded = [each for each in result.events if each.event == "modal_lora_loaded"]
    assert [each.properties["attempt"] for each in loaded] == [1, 2]
    assert [each.properties["cached"] for each in loaded] == [False, True]
    assert len({each.uuid for each in loaded}) == 2

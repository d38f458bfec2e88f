"""InstantID jobs from manifest to result: dispatcher, worker and stand-in, face models for real."""

import hashlib
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from events.sink import MemorySink
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.server import running
from handlers.faces.boxes import Box
from handlers.faces.match import Calibration
from pipeline.contract.result import Output, Result, Status
from pipeline.store.base import Always
from pipeline.worker.comfyui import ComfyServer
from tests.pipeline.conftest import MakePipeline
from tests.support.instant_comfyui import InstantServer
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.portraits import portrait

pytestmark = pytest.mark.xdist_group("faces")

KEY = "inputs/anna.png"
ANNA = portrait({"anna": Box(240, 140, 160, 200)})
MEASURED = "modal_instantid_face_consistency_measured"


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("standin")
    with running(Options.under(folder, step_seconds=0)) as url:
        yield url


@pytest.fixture
def server(standin: str, tmp_path: Path) -> Iterator[ComfyServer]:
    server = ComfyServer(Settings(comfyui_url=standin), work_dir=tmp_path, environ={})
    yield server
    server.stop()


@pytest.fixture
def faced(
    make_pipeline: MakePipeline, server: ComfyServer, packs: Path, tmp_path: Path
) -> PipelineFixture:
    """With a face pack and a reference picture."""
    pipeline = make_pipeline(
        server=server, faces_dir=packs, calibration_file=tmp_path / "means.json"
    )
    pipeline.raw._store.put(KEY, ANNA, Always())
    return pipeline


def manifest(model: str = "flux-instantid", **fields: Any) -> bytes:
    given = {"prompt": "a portrait", "reference_image": KEY, "width": 256, "height": 256}
    return json.dumps(
        {"version": 1, "model": model, "input": given | {"steps": 1} | fields}
    ).encode()


def run(pipeline: PipelineFixture, body: bytes) -> Result:
    pipeline.submit("j1", body)
    pipeline.tick()
    return pipeline.result("j1")


def output(result: Result) -> Output:
    assert result.status is Status.SUCCEEDED, result.error
    return result.outputs[0]


def measured(pipeline: PipelineFixture) -> list[dict[str, Any]]:
    assert isinstance(pipeline.sink, MemorySink)
    return [dict(event.properties) for event in pipeline.sink.events if event.event == MEASURED]


@pytest.mark.parametrize("model", ["flux-instantid", "sdxl-instantid"])
def test_the_result_says_how_much_the_face_is_the_reference_s(
    model: str, faced: PipelineFixture
) -> None:
    made = output(run(faced, manifest(model)))

    assert made.face is not None
    assert made.face.similarity > 0.8
    assert (made.face.match, made.face.reason) == (None, "baseline_unknown")
    assert (made.face.embedder, made.face.faces_found) == ("auraface-v1", 1)
    assert (made.resampled is not None) == (model == "flux-instantid")
    (event,) = measured(faced)
    assert (event["similarity"], event["consistency_score"], event["reason"]) == (
        made.face.similarity,
        None,
        "baseline_unknown",
    )
    assert (event["output"], event["gate_try"], event["kept"]) == (0, 0, True)


def test_with_a_calibration_there_is_a_match(faced: PipelineFixture) -> None:
    path = faced.settings.calibration_file
    assert path is not None
    assert faced.settings.faces_dir is not None
    means = Calibration(
        date=date(2026, 3, 1),
        embedder="auraface-v1",
        embedder_sha256=hashlib.sha256(
            (faced.settings.faces_dir / "auraface-v1" / "micro_arcface.onnx").read_bytes()
        ).hexdigest(),
        strangers_mean=0.1,
        same_mean=0.99,
        people=2,
        pictures=4,
    )
    path.write_text(means.model_dump_json())

    made = output(run(faced, manifest()))

    assert made.face is not None
    assert made.face.match == pytest.approx((made.face.similarity - 0.1) / 0.89, abs=1e-6)
    assert made.face.baseline is not None
    (event,) = measured(faced)
    assert (event["baseline"], event["strangers_baseline"]) == (0.99, 0.1)
    assert event["consistency_score"] == made.face.match


def test_each_try_of_the_gate_is_an_event_of_its_own(faced: PipelineFixture) -> None:
    made = output(run(faced, manifest(min_face_similarity=0.9999, max_tries=3)))

    assert made.face is not None
    assert made.face.tries == 3
    events = measured(faced)
    assert [event["gate_try"] for event in events] == [0, 1, 2]
    assert [event["kept"] for event in events].index(True) == made.face.gate_try
    assert isinstance(faced.sink, MemorySink)
    assert len({event.uuid for event in faced.sink.events}) == len(faced.sink.events)


def test_a_composition_that_is_to_be_kept_stands_in_the_result(faced: PipelineFixture) -> None:
    made = output(run(faced, manifest(keep_composition=True)))

    assert made.composition is not None
    assert made.composition.key == "jobs/j1/out/a1/image-0-composition.png"
    assert made.composition.sha256 != made.sha256
    assert {made.key, made.composition.key} < set(faced.keys("jobs/"))


def test_without_a_face_model_sdxl_delivers_and_says_why_there_is_no_score(
    make_pipeline: MakePipeline, server: ComfyServer, tmp_path: Path
) -> None:
    pipeline = make_pipeline(server=server, faces_dir=tmp_path, faces_pack="absent")
    pipeline.raw._store.put(KEY, ANNA, Always())

    made = output(run(pipeline, manifest("sdxl-instantid")))

    assert (made.face, made.face_reason) == (None, "face_models_missing")
    assert [event["similarity"] for event in measured(pipeline)] == [None]


def refused(
    pipeline: PipelineFixture, body: bytes, server: InstantServer
) -> tuple[str, str | None, str | None]:
    """Code, field and hint of a job that no prompt was sent for."""
    result = run(pipeline, body)
    assert server.instant.prompts == []
    assert (result.status, result.metrics) == (Status.REJECTED, None)
    assert result.error is not None
    return result.error.code, result.error.field, result.error.hint


def test_without_a_face_model_flux_is_refused_before_a_gpu_with_what_to_do(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    server = InstantServer()
    pipeline = make_pipeline(server=server, faces_dir=tmp_path, faces_pack="absent")
    pipeline.raw._store.put(KEY, ANNA, Always())

    code, _, hint = refused(pipeline, manifest(), server)

    assert code == "face_models_missing"
    assert hint is not None
    assert "RYLA_FACES_DIR" in hint


@pytest.mark.parametrize(
    ("body", "code"),
    [(None, "missing_input"), (b"no picture", "invalid_input"), (ANNA[:400], "invalid_input")],
)
def test_a_reference_that_cannot_be_read_is_refused_before_a_gpu(
    body: bytes | None, code: str, make_pipeline: MakePipeline
) -> None:
    server = InstantServer()
    pipeline = make_pipeline(server=server)
    if body is not None:
        pipeline.raw._store.put(KEY, body, Always())

    said = refused(pipeline, manifest("sdxl-instantid"), server)

    assert said[:2] == (code, "input.reference_image")
    assert said[2]


def test_a_reference_without_a_face_fails_for_good_and_is_the_request_s_fault(
    faced: PipelineFixture,
) -> None:
    faced.raw._store.put(KEY, portrait({}), Always())

    result = run(faced, manifest())

    assert (result.status, result.attempt) == (Status.FAILED, 1)
    assert result.error is not None
    assert (result.error.code, result.error.retryable) == ("no_face", False)
    assert result.events[-1].properties["error_type"] == "workflow_error"
    assert result.metrics is not None
    assert result.metrics.sampling == 0

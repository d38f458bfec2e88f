import hashlib
from datetime import timedelta
from typing import Any

import pytest

from config.errors import InvalidField, NodeFailed, UnknownField
from handlers.comfyui.info import ComfyInfo
from handlers.kinds.base import Timings
from pipeline.contract.lease import Phase, Spent
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.result import Output, Result, Status
from pipeline.models.preload import PreloadReport
from pipeline.queue.spawn import make_payload
from pipeline.worker.cold_start import WARM, ColdStart
from pipeline.worker.context import RenderState
from pipeline.worker.result_builder import ResultBuilder
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.dispatcher.test_survey import lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

STANDIN = ComfyInfo("standin", "0.8.0", "standin")
COMFYUI = ComfyInfo("comfyui", "0.8.0", "NVIDIA L40S")
BODY = body(metadata={"order": 7}, tenant="acme")
OUTPUT = Output(
    key="k", bytes=1, sha256="0" * 64, width=256, height=256, content_type="image/png", seed=5
)
LATER = NOON + timedelta(seconds=20)


def builder(
    pipeline: PipelineFixture, comfy: ComfyInfo = COMFYUI, manifest: bytes = BODY, **changes: Any
) -> ResultBuilder:
    held = lease(
        "job-1",
        phase=Phase.RUNNING,
        started_at=NOON + timedelta(seconds=9),
        **changes.pop("lease", {}),
    )
    state = RenderState(
        manifest=parse_manifest(manifest),
        seed=5,
        outputs=[OUTPUT],
        timings=Timings(load=1, encode=2, sampling=3, decode=4, other=5),
        upload_s=0.5,
        graphs=["g"],
        models={"flux.safetensors": "a" * 64},
    )
    values: dict[str, Any] = {
        "payload": make_payload(held, "etag", "flux-dev", manifest, NOON + timedelta(seconds=4)),
        "lease": held,
        "body": manifest,
        "state": state,
        "runtime": pipeline.runtime,
        "comfy": comfy,
        "gpu": pipeline.runtime.gpus.gpu("L40S"),
        "total_s": 16.0,
        "cold": WARM,
        "preload": PreloadReport(),
    }
    return ResultBuilder(**{**values, **changes})


def test_a_result_comes_back_from_its_bytes(pipeline: PipelineFixture) -> None:
    for result in (
        builder(pipeline).succeeded(LATER),
        builder(pipeline).failed(NodeFailed("x"), LATER),
    ):
        assert Result.parse(result.body()) == result


def test_a_success_tells_what_was_made_and_how(pipeline: PipelineFixture) -> None:
    result = builder(pipeline).succeeded(LATER)
    assert (result.status, result.tenant, result.metadata) == (
        Status.SUCCEEDED,
        "acme",
        {"order": 7},
    )
    assert (result.outputs, result.seed) == ((OUTPUT,), 5)
    assert result.manifest_sha256 == hashlib.sha256(BODY).hexdigest()
    assert result.provenance is not None
    assert result.provenance.engine == "comfyui"
    assert result.provenance.graph_sha256 == ("g",)
    assert result.provenance.models == {"flux.safetensors": "a" * 64}


def test_metrics_are_told_part_by_part(pipeline: PipelineFixture) -> None:
    metrics = builder(pipeline, cold=ColdStart(comfyui=3.0)).metrics
    assert (metrics.queue, metrics.claim, metrics.start) == (4, 2, 3)
    parts = (metrics.load, metrics.encode, metrics.sampling, metrics.decode, metrics.other)
    assert parts == (1, 2, 3, 4, 5)
    assert (metrics.upload, metrics.total, metrics.gpu_seconds) == (0.5, 16, 19)
    assert metrics.estimate_seconds is not None
    assert metrics.estimate_most_seconds == metrics.estimate_seconds  # nothing is tried twice


def test_an_unsteady_clock_makes_no_negative_seconds(pipeline: PipelineFixture) -> None:
    early = builder(pipeline, lease={"submitted_at": NOON + timedelta(hours=1)})
    assert early.metrics.queue == 0


def test_pictures_that_no_model_made_are_not_counted_as_pictures(pipeline: PipelineFixture) -> None:
    result = builder(pipeline, STANDIN).succeeded(LATER)
    assert result.provenance is not None
    assert (result.provenance.engine, result.provenance.models) == ("standin", {})
    assert result.events[-1].properties["engine"] == "standin"
    assert builder(pipeline).succeeded(LATER).events[-1].properties["engine"] == "local"


def test_events_of_lost_attempts_are_carried_on(pipeline: PipelineFixture) -> None:
    before = builder(pipeline).succeeded(LATER).events
    result = builder(pipeline, lease={"events": before[:1], "attempt": 2}).succeeded(LATER)
    assert before[0] in result.events
    assert result.events[-1].event == "modal_flux_dev_generation_completed"


def test_the_total_counts_what_was_spent_before(pipeline: PipelineFixture) -> None:
    cost = builder(pipeline, lease={"spent": Spent(usd=1.0, upper_bound=True)}).cost
    assert cost.total_usd == pytest.approx(1.0 + cost.usd)
    assert cost.upper_bound


def test_a_failure_names_all_its_errors_and_no_outputs(pipeline: PipelineFixture) -> None:
    error = InvalidField("steps", field="input.steps", value=0)
    error.others = (UnknownField("stpes", field="input.stpes"),)
    result = builder(pipeline).failed(error, LATER)
    assert (result.status, result.outputs) == (Status.FAILED, ())
    assert result.error is not None
    assert result.error.field == "input.steps"
    assert [more.field for more in result.also] == ["input.stpes"]
    assert result.events[-1].properties["error_code"] == "invalid_field"
    assert result.metrics is not None


def test_a_job_whose_manifest_was_never_read_still_has_a_result(
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline()
    unread = builder(pipeline, state=RenderState(), body=b"")
    result = unread.failed(NodeFailed("x"), LATER)
    assert (result.tenant, result.metadata, result.warnings) == (None, {}, ())
    assert result.cost is not None
    assert result.cost.estimate_usd is None


@pytest.mark.parametrize("comfy", [COMFYUI, STANDIN])
def test_the_sets_that_the_graphs_name_have_their_fingerprints(
    pipeline: PipelineFixture, comfy: ComfyInfo
) -> None:
    models = pipeline.runtime.models
    files = {each.file: each.sha256 for each in models.weights("flux-dev").values()}
    told = builder(pipeline, comfy)
    told.state.models = {**files, "another.safetensors": None}

    provenance = told.succeeded(LATER).provenance

    assert provenance is not None
    assert provenance.model_sets == {"flux-dev": models.fingerprint("flux-dev")}

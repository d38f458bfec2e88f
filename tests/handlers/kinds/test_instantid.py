"""The InstantID kinds over the stand-in, with insightface on micro models."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from config.errors import FaceModelsMissing, InvalidInput, NodeFailed, NoFace
from config.models import load_models
from config.routes import load_routes
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.server import running
from handlers.faces.boxes import Box
from handlers.faces.insightface_finder import FaceAnalyser
from handlers.faces.match import Calibration, Reason, Spread
from handlers.faces.measurement import FaceUse
from handlers.kinds.base import JobRequest, Kind, PromptRun, Rendered
from handlers.kinds.flux_instantid import FluxInstantId
from handlers.kinds.instantid import SdxlInstantId
from handlers.kinds.requirements import Supplies
from tests.support.graph_runners import WireStudio
from tests.support.portraits import portrait
from workflows.graph import Graph
from workflows.interfaces import committed
from workflows.validation import require_valid

pytestmark = pytest.mark.xdist_group("faces")

MODELS = load_models()
SDXL, FLUX = SdxlInstantId(), FluxInstantId()
ANNA = portrait({"anna": Box(240, 140, 160, 200)})
TWO = portrait({"anna": Box(80, 140, 160, 200), "bert": Box(380, 140, 120, 160)})
NOBODY = portrait({})


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyClient]:
    folder = tmp_path_factory.mktemp("standin")
    with running(Options.under(folder, step_seconds=0)) as url, ComfyClient(url) as client:
        yield client


@pytest.fixture
def runner(client: ComfyClient, analyser: FaceAnalyser) -> WireStudio:
    return WireStudio(client, {FaceUse.BOX: analyser, FaceUse.SCORE: analyser})


def asked(kind: Kind[Any], **fields: Any) -> Any:
    given = {"prompt": "a portrait", "reference_image": "inputs/a.png", "width": 512, "height": 512}
    return kind.input_model.model_validate(given | {"steps": 1} | fields)


def job(kind: Kind[Any], reference: bytes = ANNA, **fields: Any) -> JobRequest[Any]:
    supplies = Supplies(images={"reference_image": reference})
    return JobRequest("j1", 1, asked(kind, **fields), 7, supplies)


def images(
    kind: Kind[Any], runner: WireStudio, reference: bytes = ANNA, **fields: Any
) -> list[Rendered]:
    return list(kind.run(job(kind, reference, **fields), MODELS, runner))


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body)).convert("RGB")


def similarity(rendered: Rendered) -> float:
    assert rendered.face is not None
    assert rendered.face.best is not None
    found = rendered.face.best.score.similarity
    assert found is not None
    return found


def several(kind: Kind[Any], *bodies: bytes, **fields: Any) -> JobRequest[Any]:
    keys = tuple(f"inputs/{number}.png" for number in range(len(bodies)))
    request = asked(kind, reference_image=None, reference_images=keys, **fields)
    required = kind.required_inputs(request, MODELS).images
    supplied = dict(zip(required, bodies, strict=True))
    return JobRequest("j1", 1, request, 7, Supplies(images=supplied))


@pytest.mark.parametrize("kind", [SDXL, FLUX])
def test_all_references_condition_instantid_in_one_size(
    kind: Kind[Any], runner: WireStudio
) -> None:
    darker = portrait({"anna": Box(100, 100, 160, 200)}, size=(400, 500), light=0.9)

    (made,) = kind.run(several(kind, ANNA, darker), MODELS, runner)

    nodes = runner.graphs[-1].api()
    assert nodes["references-2"]["inputs"] == {
        "image1": ["reference", 0],
        "image2": ["reference-2", 0],
    }
    assert nodes["instantid"]["inputs"]["image"] == ["references-2", 0]
    assert similarity(made) > 0.8


def test_references_of_two_people_are_refused_by_name(
    client: ComfyClient, analyser: FaceAnalyser
) -> None:
    calibration = Calibration(
        date=date(2026, 3, 1),
        embedder=analyser.embedder,
        embedder_sha256=analyser.embedder_sha256,
        strangers_mean=0.1,
        same_mean=0.9,
        people=2,
        pictures=4,
        strangers=Spread(sd=0.1, p5=0.0, p95=0.3, least=0.0, most=0.4, pairs=9),
    )
    faces = {FaceUse.BOX: analyser, FaceUse.SCORE: analyser}
    runner = Calibrated(client, faces, of=calibration)
    bert = portrait({"bert": Box(240, 140, 160, 200)})

    with pytest.raises(InvalidInput, match=r"references_differ: inputs/2\.png") as caught:
        list(SDXL.run(several(SDXL, ANNA, ANNA, bert), MODELS, runner))

    assert caught.value.field == "input.reference_images.2"
    with pytest.raises(InvalidInput, match=r"similarity of\s+0\.300"):
        images(SDXL, runner, min_face_similarity=0.2)
    assert runner.graphs == []


@dataclass
class Calibrated(WireStudio):
    of: Calibration | None = None

    def calibration(self) -> Calibration | None:
        return self.of


def test_the_reference_is_marked_for_intake_and_needed_before_a_gpu() -> None:
    field = FLUX.input_model.model_fields["reference_image"]
    assert field.json_schema_extra == {"picture": True}
    for kind, boxes in ((SDXL, False), (FLUX, True)):
        required_inputs = kind.required_inputs(asked(kind), MODELS)
        assert (dict(required_inputs.images), required_inputs.face_boxes) == (
            {"reference_image": "inputs/a.png"},
            boxes,
        )


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(SDXL, {}), (SDXL, {"face_provider": "GPU"}), (FLUX, {}), (FLUX, {"base": "z-image-turbo"})],
)
def test_every_graph_fits_the_node_interfaces(kind: Kind[Any], fields: dict[str, Any]) -> None:
    order = replace(job(kind, **fields), supplies=Supplies())

    for graph in kind.graphs(order, MODELS):
        require_valid(graph, committed())


def test_eight_steps_compose_on_z_image_unless_others_are_asked_for() -> None:
    def steps(**fields: Any) -> int:
        given = {"prompt": "x", "reference_image": "inputs/a.png", **fields}
        return FLUX.work(FLUX.input_model.model_validate(given)).steps

    assert (steps(), steps(base="z-image-turbo"), steps(base="z-image-turbo", steps=20)) == (
        20,
        8,
        20,
    )


def test_the_work_counts_both_passes() -> None:
    work = FLUX.work(asked(FLUX, num_images=2, face_steps=25))

    assert (work.model, work.width) == ("flux-dev", 512)
    assert work.then is not None
    assert (work.then.model, work.then.images, work.then.steps, work.then.width) == (
        "sdxl-instantid",
        2,
        25,
        1024,
    )


def test_a_provider_that_the_node_does_not_know_is_read_and_said() -> None:
    assert SDXL.warnings(asked(SDXL)) == []
    assert SDXL.warnings(asked(SDXL, face_provider="GPU")) == ["face_provider GPU was read as CUDA"]
    assert FLUX.warnings(asked(FLUX, cfg=3.0))[0].startswith("cfg 3 was read as guidance")


def test_their_routes_exist() -> None:
    for kind in (SDXL, FLUX):
        assert load_routes().route(kind.route).gpus


@pytest.mark.parametrize("kind", [SDXL, FLUX])
def test_the_checkpoint_that_was_asked_for_stands_in_the_graph(kind: Kind[Any]) -> None:
    *_, graph = kind.graphs(job(kind, sdxl_checkpoint="realvisxl_v4"), MODELS)

    assert graph["checkpoint"].inputs["ckpt_name"] == "RealVisXL_V4.0.safetensors"


# -- sdxl-instantid


def test_sdxl_makes_the_person_in_each_picture(runner: WireStudio) -> None:
    made = images(SDXL, runner, num_images=2)

    assert [each.name for each in made] == ["image-0", "image-1"]
    assert [similarity(each) > 0.9 for each in made] == [True, True]
    assert runner.parts == [(0, 2), (1, 2)]
    for each in made:
        assert opened(each.body).size == (512, 512)
        assert each.face is not None
        assert each.face.resampled is None
        assert each.face.tries[0].score.reason is Reason.BASELINE_UNKNOWN


def test_sdxl_needs_no_face_pack_and_then_gives_no_number(client: ComfyClient) -> None:
    (made,) = images(SDXL, WireStudio(client))

    assert made.face is not None
    assert made.face.tries[0].score.similarity is None
    assert made.face.tries[0].score.reason is Reason.FACE_MODELS_MISSING


@pytest.mark.parametrize("kind", [SDXL, FLUX])
def test_a_reference_without_a_face_is_refused_before_any_prompt(
    kind: Kind[Any], runner: WireStudio
) -> None:
    with pytest.raises(NoFace, match="reference picture"):
        images(kind, runner, NOBODY)

    assert runner.graphs == []


@pytest.mark.parametrize(
    ("said", "error"),
    [("Reference Image: No face detected.", NoFace), ("something else", NodeFailed)],
)
def test_what_the_nodes_say_of_a_faceless_reference_is_told_apart(
    said: str, error: type[Exception], client: ComfyClient
) -> None:
    class Failing(WireStudio):
        def render(
            self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
        ) -> PromptRun:
            raise NodeFailed(f"ApplyInstantIDAdvanced: {said}")

    with pytest.raises(error):
        images(SDXL, Failing(client))


# -- flux-instantid


@pytest.mark.parametrize("base", ["flux-dev", "z-image-turbo"])
def test_outside_the_box_not_one_pixel_changes(base: str, runner: WireStudio) -> None:
    (made,) = images(FLUX, runner, base=base, keep_composition=True)

    assert made.composition is not None
    assert made.face is not None
    assert made.face.resampled is not None
    box = made.face.resampled
    changed = ImageChops.difference(opened(made.body), opened(made.composition)).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert box.x <= left < right <= box.right
    assert box.y <= top < bottom <= box.bottom
    assert box.width == box.height < 512


def test_the_face_pass_makes_the_composed_face_the_reference_s(
    runner: WireStudio, analyser: FaceAnalyser
) -> None:
    (made,) = images(FLUX, runner, keep_composition=True)

    assert made.composition is not None
    assert [graph["save"].class_type for graph in runner.graphs] == ["SaveImage"] * 2
    assert runner.parts == [(0, 2), (1, 2)]
    assert similarity(made) > 0.9
    (composed,) = images(FLUX, runner, instantid_strength=0.0)
    assert similarity(composed) < 0.86


def test_what_ran_and_with_what_is_told(runner: WireStudio) -> None:
    (made,) = images(FLUX, runner)

    first, second = runner.graphs
    assert (list(made.parent_graphs), made.graph_sha256) == ([first.digest()], second.digest())
    assert {"flux1-dev.safetensors", "sd_xl_base_1.0.safetensors"} <= set(made.weights)
    assert made.composition is None


def test_of_several_faces_the_largest_is_made_anew_or_the_one_asked_for(
    runner: WireStudio,
) -> None:
    def middle(**fields: Any) -> float:
        (made,) = images(FLUX, runner, TWO, **fields)
        assert made.face is not None
        assert made.face.resampled is not None
        return made.face.resampled.x + made.face.resampled.width / 2

    left, right = middle(), middle(face_index=0)
    assert left == right < 256


def test_a_face_that_is_not_there_cannot_be_chosen(runner: WireStudio) -> None:
    with pytest.raises(NoFace, match="none with index 5") as caught:
        images(FLUX, runner, face_index=5, allow_no_face=True)

    assert caught.value.field == "face_index"


class Faceless(WireStudio):
    """Composes without the person."""

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        graph.extra_data.clear()
        return super().render(graph, part=part, parts=parts)


def test_a_composition_without_a_face_is_an_error(
    client: ComfyClient, analyser: FaceAnalyser
) -> None:
    runner = Faceless(client, {FaceUse.BOX: analyser, FaceUse.SCORE: analyser})

    with pytest.raises(NoFace, match="no face was found in what flux-dev composed") as caught:
        images(FLUX, runner)

    assert caught.value.hint is not None
    assert "allow_no_face" in caught.value.hint
    assert len({graph["save"].inputs["filename_prefix"] for graph in runner.graphs}) == 3
    runner.graphs.clear()
    with pytest.raises(NoFace):
        images(FLUX, runner, max_tries=1)
    assert len(runner.graphs) == 1


def test_a_composition_without_a_face_is_delivered_where_that_is_allowed(
    client: ComfyClient, analyser: FaceAnalyser
) -> None:
    runner = Faceless(client, {FaceUse.BOX: analyser, FaceUse.SCORE: analyser})

    (made,) = images(FLUX, runner, allow_no_face=True)

    assert opened(made.body).size == (512, 512)
    assert made.face is not None
    assert (made.face.best, made.face.resampled) == (None, None)
    assert len(runner.graphs) == 1


def test_without_a_pack_no_box_can_be_found(client: ComfyClient) -> None:
    with pytest.raises(FaceModelsMissing):
        images(FLUX, WireStudio(client))


def test_with_a_pack_for_boxes_alone_the_face_is_made_and_not_scored(
    client: ComfyClient, analyser: FaceAnalyser
) -> None:
    (made,) = images(FLUX, WireStudio(client, {FaceUse.BOX: analyser}))

    assert made.face is not None
    assert made.face.resampled is not None
    assert made.face.tries[0].score.reason is Reason.FACE_MODELS_MISSING


# -- the gate


@pytest.mark.parametrize("kind", [SDXL, FLUX])
def test_below_the_gate_other_seeds_are_tried_and_the_best_is_kept(
    kind: Kind[Any], runner: WireStudio
) -> None:
    (made,) = images(kind, runner, min_face_similarity=0.9999, max_tries=4)

    assert made.face is not None
    scores = [one.score.similarity or 0 for one in made.face.tries]
    assert len(scores) == 4
    assert len({one.seed for one in made.face.tries}) == 4
    assert scores[made.face.kept] == max(scores)
    assert similarity(made) == max(scores)
    assert len(made.parent_graphs) == (3 if kind is SDXL else 4)


def test_seeds_of_tries_are_the_same_on_another_attempt(runner: WireStudio) -> None:
    def seeds() -> list[int]:
        (made,) = images(SDXL, runner, min_face_similarity=0.9999)
        assert made.face is not None
        return [one.seed for one in made.face.tries]

    assert seeds() == seeds()


def test_a_picture_that_passes_is_not_made_again(runner: WireStudio) -> None:
    (made,) = images(SDXL, runner, min_face_similarity=0.5, max_tries=4)

    assert made.face is not None
    assert len(made.face.tries) == 1


def test_no_try_goes_beyond_the_time_and_budget_of_the_job(runner: WireStudio) -> None:
    runner.further_seconds = 0.0

    (made,) = images(SDXL, runner, min_face_similarity=0.9999, max_tries=4)

    assert made.face is not None
    assert len(made.face.tries) == 1


def test_startup_imports_no_face_models(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, pipeline.worker.worker; from pipeline.cli.commands import SUMMARIES, load;"
        "[load(name) for name in SUMMARIES];"
        "print([m for m in sys.modules if m.split('.')[0] in ('insightface', 'onnxruntime')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_most_work_is_every_try_as_a_composition_and_a_face() -> None:
    def most(**fields: Any) -> tuple[int, int]:
        work = FLUX.most_work(asked(FLUX, num_images=2, max_tries=3, **fields))
        assert work.then is not None
        return work.images, work.then.images

    assert most() == (6, 2), "for want of a face alone"
    assert most(allow_no_face=True) == (2, 2)
    assert most(allow_no_face=True, min_face_similarity=0.5) == (2, 6)
    assert most(allow_no_face=True, head="front") == (6, 6)

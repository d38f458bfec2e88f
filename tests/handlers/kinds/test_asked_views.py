"""The InstantID kinds asked for a view, over the stand-in, as the embedded face model sees it."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from config.models import load_models
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.people import drawn_person
from handlers.comfyui.standin.server import running
from handlers.faces.dlib_finder import is_installed, load
from handlers.faces.head import Head
from handlers.faces.measurement import FaceTry, FaceUse
from handlers.faces.view import AskedView, Framing, ViewReason
from handlers.faces.view_note import VIEW_NOTE, view_note
from handlers.kinds.base import JobRequest, Kind, Rendered
from handlers.kinds.flux_instantid import FluxInstantId
from handlers.kinds.instantid import SdxlInstantId
from handlers.kinds.requirements import Supplies
from pipeline.worker.outputs import view_of
from tests.support.graph_runners import WireStudio

pytestmark = [
    pytest.mark.xdist_group("faces"),
    pytest.mark.skipif(not is_installed(), reason="needs the embedded face model"),
]

MODELS = load_models()
SDXL, FLUX = SdxlInstantId(), FluxInstantId(side=512)
LEFT = {"yaw": -35.0}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireStudio]:
    folder, finder = tmp_path_factory.mktemp("standin"), load()
    with running(Options.under(folder, step_seconds=0)) as url, ComfyClient(url) as client:
        yield WireStudio(client, {FaceUse.BOX: finder, FaceUse.SCORE: finder})


@pytest.fixture(scope="module")
def eve() -> bytes:
    out = io.BytesIO()
    drawn_person("eve").picture.save(out, "PNG")
    return out.getvalue()


def rendered(
    kind: Kind[Any], runner: WireStudio, eve: bytes, prompt: str = "a portrait", **fields: Any
) -> Rendered:
    runner.graphs.clear()
    given = {"prompt": prompt, "reference_image": "inputs/a.png", "width": 512, "height": 640}
    asked = kind.input_model.model_validate(given | {"steps": 1} | fields)
    job = JobRequest("j1", 1, asked, 7, Supplies(images={"reference_image": eve}))
    (made,) = kind.run(job, MODELS, runner)
    return made


def tries(made: Rendered) -> list[FaceTry]:
    assert made.face is not None
    return [*made.face.tries]


def test_a_framing_without_a_head_is_refused() -> None:
    with pytest.raises(ValidationError, match="framing needs head"):
        SDXL.input_model(prompt="x", reference_image="inputs/a.png", framing=Framing.HALF)


@pytest.mark.parametrize("kind", [SDXL, FLUX])
def test_the_head_is_turned_as_asked_and_the_picture_says_so(
    kind: Kind[Any], runner: WireStudio, eve: bytes
) -> None:
    made = rendered(kind, runner, eve, head=LEFT, framing="close-up")
    (one,) = tries(made)
    assert one.view is not None
    assert (one.view.ok, one.view.asked) == (True, AskedView(Head(-35), Framing.CLOSE_UP))
    assert made.face is not None
    told = view_of(made.name, made.face)
    assert told is not None
    assert told.measured is not None
    assert told.measured.yaw == pytest.approx(-35, abs=20)
    assert (told.id, told.ok, told.tries, told.reason) == ("image-0", True, 1, None)


def test_without_a_head_nothing_is_judged_and_no_landmarks_are_given(
    runner: WireStudio, eve: bytes
) -> None:
    made = rendered(SDXL, runner, eve)
    assert [one.view for one in tries(made)] == [None]
    assert "image_kps" not in runner.graphs[0].api()["instantid"]["inputs"]
    assert made.face is not None
    assert view_of(made.name, made.face) is None


def test_a_wrong_view_is_tried_again_and_the_right_one_kept(runner: WireStudio, eve: bytes) -> None:
    made = rendered(SDXL, runner, eve, "a portrait [[fault:wrong-view=7]]", head=LEFT)
    wrong, right = tries(made)
    assert wrong.view is not None
    assert (wrong.seed, wrong.view.reason) == (7, ViewReason.WRONG_YAW)
    assert right.view is not None
    assert right.view.ok
    assert made.seed == right.seed


@pytest.mark.thorough
def test_a_view_that_stays_wrong_is_tried_as_often_as_asked_and_told(
    runner: WireStudio, eve: bytes
) -> None:
    made = rendered(SDXL, runner, eve, "x [[fault:wrong-view]]", head=LEFT, max_tries=2)
    assert [one.view.wrong for one in tries(made) if one.view] == [True, True]


def test_a_profile_without_a_face_is_not_tried_again_whatever_the_gate(
    runner: WireStudio, eve: bytes
) -> None:
    (one,) = tries(rendered(SDXL, runner, eve, head={"yaw": 80}, min_face_similarity=0.99))
    assert one.view is not None
    assert (one.view.ok, one.view.reason) == (None, ViewReason.UNMEASURED)
    assert one.score.similarity is None


def test_a_composition_of_a_wrong_view_is_made_anew_before_a_face_is_made_in_it(
    runner: WireStudio, eve: bytes
) -> None:
    made = rendered(FLUX, runner, eve, "a portrait [[fault:wrong-view=7]]", head=LEFT)
    (one,) = tries(made)
    assert one.view is not None
    assert one.view.ok
    wrong, right, face = runner.graphs
    assert "face_" not in str(wrong["save"].inputs["filename_prefix"])
    assert made.seed == one.seed != 7
    assert [*made.parent_graphs, made.graph_sha256] == [
        graph.digest() for graph in (wrong, right, face)
    ]


def test_a_face_pass_is_given_the_head_where_the_composed_face_is(
    runner: WireStudio, eve: bytes
) -> None:
    rendered(FLUX, runner, eve, head=LEFT)
    composition, face = runner.graphs
    assert composition.extra_data[VIEW_NOTE] == view_note(AskedView(Head(-35)))
    assert face.api()["instantid"]["inputs"]["image_kps"] == ["landmarks", 0]

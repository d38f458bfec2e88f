"""One step made: which graph is run, what is found in its picture, and what is recorded of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from config.errors import FaceModelsMissing
from config.settings import Settings
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.maker import Made, SheetMaker
from handlers.character_sheet.plan import SheetPlan, Thresholds
from handlers.character_sheet.records import Composition, Picture, SheetRecords
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.comfyui.standin.control_points import drawn_points
from handlers.faces.boxes import Face, FaceFinder
from handlers.faces.head import Head, measured_pose
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceUse
from handlers.faces.view_note import VIEW_NOTE
from handlers.kinds.base import PromptRun
from handlers.kinds.flux_instantid import REFERENCE_FACE
from tests.support.sheets import SIDE, SheetServer, face, flat_picture, planned_view, sheet_plan
from workflows.graph import Graph

PICTURE = Picture(key="k", bytes=1, sha256="s", width=SIDE, height=SIDE, content_type="image/png")


@dataclass
class Studio:
    """Draws flat pictures, and finds in each what it is told."""

    found: Sequence[Face] = (face(Head()),)
    blind: bool = False
    graphs: list[Graph] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    server: SheetServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = SheetServer(lambda _: self.found)

    def render(self, graph: Graph, *, part: int, parts: int) -> PromptRun:
        self.graphs.append(graph)
        return self.server.drawing.run(
            graph.api(), prompt_id="p", on_progress=lambda fraction, node: None
        )

    def upload(self, body: bytes, name: str) -> str:
        self.uploads.append(body)
        return name

    def faces(self, use: FaceUse) -> FaceFinder:
        if self.blind:
            raise FaceModelsMissing("none here")
        return self.server.faces(Settings()).finder(use)

    def calibration(self) -> Calibration | None:
        return self.server.faces(Settings()).calibration()

    def has_time_for(self, seconds: float) -> bool:
        return True


def plan_of(making: Making, **changes: Any) -> SheetPlan:
    roles = ("unet", "clip_l", "t5", "vae", "checkpoint", "instantid", "controlnet")
    weights = {role: {"file": "w"} for role in roles}
    sampling = {"steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal"}
    fields = {
        "base": "sdxl" if making is Making.INSTANTID else "flux-dev",
        "references": ("inputs/ann.png",),
        "composition_weights": weights,
        "face_weights": weights,
        "sampling": {**sampling, "guidance": 3.5},
        "face_sampling": sampling,
        **changes,
    }
    return sheet_plan([making], **fields)


def make(
    plan: SheetPlan, step: Compose | MakeFace, studio: Studio, *made: Composition
) -> Mapping[str, Any]:
    maker = SheetMaker(plan, studio, (flat_picture("ann"),), attempt=1)
    done: Made = maker.make(
        step, SheetRecords.of(made), lambda picture: flat_picture("composed"), 0, 2
    )
    record = done.record(PICTURE, seconds=1.0)
    assert record.seed == plan.views[0].seeds[step.k - 1]
    return record.model_dump()


def classes(studio: Studio) -> set[str]:
    return {node["class_type"] for node in studio.graphs[0].api().values()}


COMPOSED = Composition(
    number=1,
    view="v1",
    k=1,
    seed=10,
    picture=PICTURE,
    seconds=1.0,
    box={"x": 150, "y": 100, "width": 190, "height": 190},
)


def test_one_pass_is_given_the_drawn_landmarks() -> None:
    studio = Studio()
    record = make(plan_of(Making.INSTANTID), MakeFace(1, 1, None), studio)
    nodes = studio.graphs[0].api()
    assert "ApplyInstantIDAdvanced" in classes(studio)
    assert nodes["instantid"]["inputs"]["image_kps"] == ["landmarks", 0]
    assert len(studio.uploads) == 2, "the reference and the drawn landmarks"
    assert (record["fault"], record["composition"]) == (None, None)


def test_a_composition_tells_the_stand_in_who_and_which_view_it_is_of() -> None:
    studio = Studio()
    record = make(plan_of(Making.FACE_PASS), Compose(1, 1), studio)
    assert {REFERENCE_FACE, VIEW_NOTE} <= studio.graphs[0].extra_data.keys()
    assert "ApplyInstantIDAdvanced" not in classes(studio)
    assert record["box"] is not None


def test_a_view_from_behind_is_composed_of_nobody() -> None:
    studio = Studio(found=())
    record = make(plan_of(Making.COMPOSED), Compose(1, 1), studio)
    assert REFERENCE_FACE not in studio.graphs[0].extra_data
    assert studio.uploads == []
    assert (record["fault"], record["asked"]["yaw"]) == (None, None)


def test_the_face_pass_cuts_the_face_out_of_what_was_composed() -> None:
    studio = Studio()
    record = make(plan_of(Making.FACE_PASS), MakeFace(1, 1, 1), studio, COMPOSED)
    assert flat_picture("composed") in studio.uploads
    assert {"ImageCrop", "ApplyInstantIDAdvanced"} <= classes(studio)
    assert record["resampled"]["width"] > 190
    assert record["composition"] == 1


def test_the_face_pass_is_given_the_asked_head_where_the_composed_face_is() -> None:
    turned = planned_view(1, Making.FACE_PASS, head={"yaw": -30.0})
    plan = plan_of(Making.FACE_PASS, views=(turned,), face_landmarks=True)
    one, other = Studio(), Studio()
    make(plan, MakeFace(1, 1, 1), one, COMPOSED)
    make(plan, MakeFace(1, 1, 1), other, COMPOSED)
    nodes = one.graphs[0].api()
    assert nodes["instantid"]["inputs"]["image_kps"] == ["landmarks", 0]
    assert one.uploads == other.uploads, "equal jobs give equal pictures"
    drawn = Image.open(BytesIO(one.uploads[-1]))
    crop, enlarged = nodes["crop"]["inputs"], nodes["enlarge"]["inputs"]
    assert drawn.size == (enlarged["width"], enlarged["height"])
    points = drawn_points(drawn)
    assert points is not None
    found = measured_pose(points)
    assert found.head.yaw == pytest.approx(-30, abs=2)
    scale = crop["width"] / drawn.width
    x, y = crop["x"] + found.middle[0] * scale, crop["y"] + found.middle[1] * scale
    assert 150 < x < 150 + 190
    assert 100 < y < 100 + 190


def test_by_a_plan_from_before_the_crop_poses_the_face() -> None:
    studio = Studio()
    make(plan_of(Making.FACE_PASS), MakeFace(1, 1, 1), studio, COMPOSED)
    assert studio.graphs[0].api()["instantid"]["inputs"]["image_kps"] == ["enlarge", 0]


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ((), "no_face"),
        ((face(Head(40.0)),), "wrong_yaw"),
        ((face(Head()),), None),
        ((face(Head(), 0.5),), "face_below_gate"),
    ],
)
def test_the_fault_of_a_picture(found: Sequence[Face], fault: str | None) -> None:
    plan = plan_of(Making.INSTANTID, thresholds=Thresholds(min_face_match=0.8))
    record = make(plan, MakeFace(1, 1, None), Studio(found=found))
    assert record["fault"] == fault


def test_a_profile_is_not_judged_by_its_likeness() -> None:
    view = planned_view(1, Making.INSTANTID, head={"yaw": 80.0})
    plan = plan_of(Making.INSTANTID, views=(view,), thresholds=Thresholds(min_face_match=0.99))
    record = make(plan, MakeFace(1, 1, None), Studio(found=(face(Head(80.0), 0.3),)))
    assert record["fault"] is None
    assert (record["score"]["match"], record["score"]["reason"]) == (None, "profile")


SIDE_ON = planned_view(1, Making.INSTANTID, head={"yaw": 80.0})
FRONTAL, PROFILE = flat_picture("ann"), flat_picture("ann from the side")


def profile_plan(**changes: Any) -> SheetPlan:
    return plan_of(
        Making.INSTANTID,
        **{
            "references": ("inputs/side.png", "inputs/ann.png"),
            "profiles_apart": True,
            "views": (SIDE_ON,),
            "thresholds": Thresholds(min_face_match=0.99),
            **changes,
        },
    )


def album_studio(found: Face, profile: Face) -> Studio:
    """What finds `profile` in the second reference, and `found` in what is made."""
    studio = Studio()
    studio.server = SheetServer(lambda name: (profile,) if name == "profile" else (found,))
    studio.server.drawing.names[PROFILE] = "profile"
    return studio


def made_of_both(plan: SheetPlan, studio: Studio) -> Mapping[str, Any]:
    maker = SheetMaker(plan, studio, (PROFILE, FRONTAL), attempt=1)
    done = maker.make(MakeFace(1, 1, None), SheetRecords(), lambda picture: b"", 0, 1)
    return done.record(PICTURE, seconds=1.0).model_dump()


def test_a_profile_is_scored_against_the_reference_from_its_side_and_not_gated() -> None:
    record = made_of_both(
        profile_plan(), album_studio(face(Head(70.0), 0.5), face(Head(75.0), 0.5))
    )
    assert record["fault"] is None
    score = record["score"]
    assert (score["similarity"], score["match"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert score["reason"] == "profile"


def test_a_profile_has_no_score_by_a_reference_from_the_other_side() -> None:
    record = made_of_both(
        profile_plan(), album_studio(face(Head(70.0), 0.5), face(Head(-75.0), 0.5))
    )
    score = record["score"]
    assert (score["similarity"], score["match"], score["reason"]) == (None, None, "profile")


def test_instantid_is_conditioned_on_the_references_from_the_front() -> None:
    studio = album_studio(face(Head(70.0)), face(Head(75.0)))
    made_of_both(profile_plan(), studio)
    assert studio.uploads[0] == FRONTAL
    assert PROFILE not in studio.uploads
    assert "ImageBatch" not in classes(studio)


def test_by_a_plan_from_before_profiles_serve_as_any_other_reference() -> None:
    studio = album_studio(face(Head(70.0)), face(Head(75.0)))
    record = made_of_both(profile_plan(profiles_apart=False), studio)
    assert "ImageBatch" in classes(studio)
    assert (record["score"]["similarity"], record["score"]["reason"]) == (None, "profile")


def test_without_face_models_nothing_is_judged_and_nothing_at_fault() -> None:
    record = make(plan_of(Making.INSTANTID), MakeFace(1, 1, None), Studio(blind=True))
    assert (record["fault"], record["reason"]) == (None, "face_models_missing")


def test_two_passes_need_face_models() -> None:
    with pytest.raises(FaceModelsMissing):
        make(plan_of(Making.FACE_PASS), Compose(1, 1), Studio(blind=True))

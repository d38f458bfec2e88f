"""One step made: which graph is run, and what it is given."""

from io import BytesIO

import pytest
from PIL import Image

from handlers.character_sheet.combinations import Making
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.comfyui.standin.control_points import drawn_points
from handlers.faces.head import Head, measured_pose
from handlers.faces.view_note import VIEW_NOTE
from handlers.kinds.two_passes import REFERENCE_FACE
from tests.handlers.character_sheet.studios import (
    COMPOSED,
    FRONTAL,
    PROFILE,
    Studio,
    album_studio,
    classes,
    made_of_both,
    make,
    plan_of,
    profile_plan,
)
from tests.support.sheets import face, flat_picture, planned_view


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

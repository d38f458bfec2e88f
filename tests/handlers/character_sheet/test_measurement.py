"""What is found in the picture of a step, and recorded of it."""

import base64
import struct
from collections.abc import Sequence

import pytest

from config.errors import FaceModelsMissing
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.sheet_plan import Thresholds
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.faces.boxes import Face
from handlers.faces.head import Head
from handlers.faces.measurement import FaceUse
from tests.handlers.character_sheet.studios import (
    Studio,
    album_studio,
    made_of_both,
    make,
    plan_of,
    profile_plan,
)
from tests.support.sheets import face, planned_view


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


def test_without_face_models_nothing_is_judged_and_nothing_at_fault() -> None:
    record = make(plan_of(Making.INSTANTID), MakeFace(1, 1, None), Studio(blind_to=(*FaceUse,)))
    assert (record["fault"], record["reason"]) == (None, "face_models_missing")


def test_two_passes_need_face_models() -> None:
    with pytest.raises(FaceModelsMissing):
        make(plan_of(Making.FACE_PASS), Compose(1, 1), Studio(blind_to=(*FaceUse,)))


@pytest.mark.parametrize("making", [Making.INSTANTID, Making.FACE_PASS, Making.COMPOSED])
def test_how_the_largest_face_looks_is_recorded_of_every_picture(making: Making) -> None:
    step = MakeFace(1, 1, None) if making is Making.INSTANTID else Compose(1, 1)
    record = make(plan_of(making), step, Studio(found=(face(Head(), 0.6), face(Head(), 0.3))))
    look = record["look"]
    assert (look["embedder"], look["embedder_sha256"]) == ("known", "0" * 64)
    assert struct.unpack("<2f", base64.b64decode(look["embedding"])) == pytest.approx((0.6, 0.8))
    assert (look["strangers_mean"], look["same_mean"]) == (0.0, 1.0)
    assert look["side"] > 100


def test_a_picture_without_a_face_was_looked_at_too() -> None:
    record = make(plan_of(Making.COMPOSED), Compose(1, 1), Studio(found=()))
    assert (record["look"]["embedder"], record["look"]["embedding"]) == ("known", None)


def test_without_the_network_that_scores_no_look_is_recorded() -> None:
    """What finds boxes alone is the network that InstantID is conditioned on."""
    boxes = Studio(blind_to=(FaceUse.SCORE,))
    record = make(plan_of(Making.FACE_PASS), Compose(1, 1), boxes)
    assert record["box"] is not None
    assert record["look"] is None

"""What is found in the picture of a step, and recorded of it."""

from collections.abc import Sequence

import pytest

from config.errors import FaceModelsMissing
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.plan import Thresholds
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.faces.boxes import Face
from handlers.faces.head import Head
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
    record = make(plan_of(Making.INSTANTID), MakeFace(1, 1, None), Studio(blind=True))
    assert (record["fault"], record["reason"]) == (None, "face_models_missing")


def test_two_passes_need_face_models() -> None:
    with pytest.raises(FaceModelsMissing):
        make(plan_of(Making.FACE_PASS), Compose(1, 1), Studio(blind=True))

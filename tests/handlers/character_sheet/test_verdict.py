from dataclasses import replace

import pytest

from handlers.character_sheet.combinations import ScoredAgainst
from handlers.character_sheet.records import Choice, Composition, ViewRecords
from handlers.character_sheet.sheet_document import DocumentView, SheetDocument
from handlers.character_sheet.sheet_plan import PlannedLora
from handlers.faces.match import Baseline
from tests.handlers.character_sheet.made_sheets import SAME, STRANGERS, judged, looks, made, planned
from tests.handlers.character_sheet.sheets import lora_sheet, sheet

PLAN = planned(sheet())
LORA_PLAN = planned(lora_sheet(base="flux-dev", views="lora-24"))


def view(document: SheetDocument, id: str) -> DocumentView:
    return next(view for view in document.views if view.id == id)


def test_a_whole_sheet_is_told_view_by_view_and_as_a_set() -> None:
    found = judged(PLAN, made(PLAN), looks(PLAN), usd=0.04)

    assert [view.name for view in found.views] == [view.name for view in PLAN.views]
    assert (found.set.views, found.set.made, found.set.compared) == (10, 10, 7)
    assert found.set.trainable
    assert found.set.because.startswith("10 pictures, worst match 0.90, mean 0.90")
    assert found.purpose == "training"


def test_it_is_read_as_it_was_written() -> None:
    found = judged(PLAN, made(PLAN), looks(PLAN), usd=0.04)
    assert SheetDocument.parse(found.body()) == found
    assert SheetDocument.parse(b"{}") is None


def test_equal_sheets_are_equal_byte_for_byte() -> None:
    one, two = (judged(PLAN, made(PLAN), looks(PLAN), usd=0.04) for _ in range(2))
    assert one.body() == two.body()


def test_worst_and_mean_are_of_the_faces_that_were_compared() -> None:
    records = made(PLAN, {"front-sitting": 0.6, "side-left": 0.1})
    found = judged(PLAN, records, looks(PLAN), usd=0.04).set
    assert (found.worst, found.worst_match) == ("08-front-sitting", 0.6)
    assert found.mean_match == pytest.approx((6 * 0.9 + 0.6) / 7, abs=1e-3)
    assert not found.trainable


def test_a_view_from_the_side_has_a_similarity_and_no_match() -> None:
    side = view(judged(PLAN, made(PLAN), looks(PLAN), usd=0.04), "side-left")
    assert (side.match, side.match_reason) == (None, "profile")
    assert side.similarity == pytest.approx(0.72)


def test_the_match_of_a_profile_is_told_and_judges_nothing() -> None:
    found = judged(PLAN, made(PLAN, profile_match=0.2), looks(PLAN), usd=0.04)
    side = view(found, "side-left")
    assert (side.match, side.match_reason) == (0.2, "profile")
    assert (found.set.compared, found.set.worst_match) == (7, 0.9)
    assert found.set.trainable


def test_a_view_from_behind_is_no_miss() -> None:
    back = view(judged(PLAN, made(PLAN), looks(PLAN), usd=0.04), "back")
    assert (back.missing, back.match, back.match_reason) == (None, None, "back")
    assert back.key is not None


def test_a_missing_view_has_its_reason_and_no_picture() -> None:
    records = made(PLAN, missing={"front": "head_cut"}, tries={"front": 3})
    found = judged(PLAN, records, looks(PLAN), usd=0.04)
    front = view(found, "front")
    assert (front.missing, front.key, front.tries) == ("head_cut", None, 3)
    assert (found.set.made, found.set.coverage.angles["front"]) == (9, 3)


def test_a_view_that_nobody_came_to_says_what_ended_the_sheet() -> None:
    records = replace(made(PLAN), views={})
    found = judged(PLAN, records, {}, usd=0.0, why_missing="over_budget")
    assert {view.missing for view in found.views} == {"over_budget"}
    assert found.set.because.startswith("0 pictures, and 8 are the least")


def test_views_share_the_cost_by_the_seconds_of_their_tries() -> None:
    found = judged(PLAN, made(PLAN, tries={"front": 3}), looks(PLAN), usd=0.12)
    assert view(found, "front").usd == pytest.approx(0.03)
    assert sum(view.usd for view in found.views) == pytest.approx(0.12)


def test_the_two_faces_least_alike_are_named() -> None:
    found = judged(PLAN, made(PLAN), looks(PLAN, {"front-sitting": 80}), usd=0.04).set
    assert found.least_alike is not None
    assert "08-front-sitting" in found.least_alike.views
    assert found.least_alike.similarity == pytest.approx(0.1736, abs=1e-3)
    assert found.least_alike.match == pytest.approx(0.217, abs=1e-3)
    assert "look like two people" in found.because


def test_faces_from_the_side_and_small_ones_are_in_no_pair() -> None:
    seen = looks(PLAN, {"side-left": 80, "front-dynamic": 80})
    seen[10] = replace(seen[10], side=39)
    found = judged(PLAN, made(PLAN), seen, usd=0.04).set
    assert found.mean_alike == pytest.approx(1.0)


def test_two_pictures_of_one_head_that_look_the_same_are_too_alike() -> None:
    seen = looks(PLAN)
    seen[2] = replace(seen[2], bits=(seen[1].bits or 0) ^ 0b111)
    (pair,) = judged(PLAN, made(PLAN), seen, usd=0.04).set.too_alike
    assert (pair.views, pair.bits) == (("01-front", "02-front-smiling"), 3)


def test_pictures_of_other_heads_or_framings_may_look_the_same() -> None:
    seen = looks(PLAN)
    seen[3] = replace(seen[3], bits=seen[1].bits)
    seen[8] = replace(seen[8], bits=seen[1].bits)
    assert judged(PLAN, made(PLAN), seen, usd=0.04).set.too_alike == ()


def test_the_same_picture_twice_is_too_alike_whatever_was_asked() -> None:
    seen = looks(PLAN)
    seen[3] = replace(seen[3], sha256=seen[1].sha256)
    (pair,) = judged(PLAN, made(PLAN), seen, usd=0.04).set.too_alike
    assert pair.views == ("01-front", "03-three-quarter-left")


def test_without_references_the_best_front_view_is_who_it_is() -> None:
    seen = looks(LORA_PLAN, {"close-up-front": 30, "half-left": 10})
    found = judged(
        LORA_PLAN,
        made(LORA_PLAN),
        seen,
        usd=0.1,
        baseline=Baseline(STRANGERS, SAME),
        embedder="mine",
    )
    assert found.scored_against is ScoredAgainst.BEST_FRONT
    assert found.reference_view == "02-close-up-front-smiling"
    own = view(found, "close-up-front-smiling")
    assert (own.similarity, own.match, own.match_reason) == (None, None, "reference")
    turned = view(found, "half-left")
    assert turned.similarity == pytest.approx(0.9848, abs=1e-3)
    assert turned.match == 1.0
    assert found.embedder == "mine"
    assert found.set.trainable


def test_without_a_calibration_similarity_stands_alone() -> None:
    found = judged(LORA_PLAN, made(LORA_PLAN), looks(LORA_PLAN), usd=0.1)
    left = view(found, "close-up-left")
    assert left.similarity == pytest.approx(1.0)
    assert (left.match, left.match_reason) == (None, "baseline_unknown")
    assert "only 0 of 22 faces have a match" in found.set.because


def test_without_a_front_view_each_is_measured_against_the_others() -> None:
    views = [{"id": "left", "head": {"yaw": -30}}, {"id": "right", "head": {"yaw": 30}}]
    plan = planned(lora_sheet(base="flux-dev", views=views))
    found = judged(plan, made(plan), looks(plan, {"left": 60}), usd=0.1)
    assert (found.scored_against, found.reference_view) == (ScoredAgainst.PAIRWISE, None)
    assert [view.similarity for view in found.views] == [0.5, 0.5]


def test_a_picture_that_could_not_be_read_is_a_twin_of_none_and_its_face_still_compares() -> None:
    seen = looks(PLAN)
    seen[1], seen[2] = replace(seen[1], bits=None), replace(seen[2], bits=None)
    found = judged(PLAN, made(PLAN), seen, usd=0.04).set
    assert found.too_alike == ()
    assert found.mean_alike == pytest.approx(1.0)


def test_pictures_that_nobody_looked_at_still_have_what_the_records_say() -> None:
    found = judged(PLAN, made(PLAN), {}, usd=0.04)
    assert found.set.mean_match == pytest.approx(0.9)
    assert (found.set.least_alike, found.set.too_alike) == (None, ())


@pytest.mark.parametrize("lora", [False, True])
def test_a_face_that_the_base_made_up_spoils_a_set_unless_a_lora_made_it(lora: bool) -> None:
    plan = planned(sheet(base="flux-dev"))
    if lora:
        file = PlannedLora(key="loras/a.safetensors", sha256="ab" * 32, strength=1.0)
        plan = plan.model_copy(update={"lora": file})
    records = made(plan)
    side = records.of_view(5)
    drawn = Composition(**side.tries[1].model_dump(exclude={"composition", "score", "resampled"}))
    choice = Choice(number=5, view="side-left", k=1, of="c")
    left = ViewRecords(compositions={1: drawn}, choice=choice)
    found = judged(plan, replace(records, views={**records.views, 5: left}), looks(plan), usd=0.1)

    assert view(found, "side-left").match_reason == "base_face"
    assert found.set.trainable == lora
    said = "05-side-left shows a face that the base made up"
    assert (said in found.set.because) != lora


def test_weights_and_lora_stand_in_it_with_their_sums() -> None:
    plan = planned(sheet(base="flux-dev"))
    found = judged(plan, made(plan), {}, usd=0.1)
    assert {"unet", "face_checkpoint", "face_instantid"} <= {*found.weights}
    assert found.weights["unet"].sha256 == plan.composition_weights["unet"].sha256

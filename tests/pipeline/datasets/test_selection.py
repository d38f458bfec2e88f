from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from handlers.character_sheet.likeness import SheetLooks
from handlers.character_sheet.records import SheetRecords
from handlers.character_sheet.verdict import judge_sheet
from handlers.kinds.requirements import LoraFile
from pipeline.datasets.selection import Selection, select
from pipeline.reviews.review import Verdict
from tests.support.datasets import MadeSheet

KEEP, REJECT = Verdict.KEEP, Verdict.REJECT
VIEWS = [
    {"id": "front", "framing": "close-up"},
    {"id": "side", "head": {"yaw": 80}},
    {"id": "back", "back": True},
]


def selected(verdicts: Mapping[str, Verdict] | None = None, **made: Any) -> Selection:
    asked = {"views": VIEWS, **made.pop("input", {})}
    sheet = MadeSheet(input=asked, **made)
    plan, records = sheet.plan, SheetRecords.of(sheet.records())
    return select(plan, sheet.ended(plan, records), records, None, verdicts or {})


def ids(selection: Selection) -> Sequence[str]:
    return [one.view.id for one in selection.picked]


def out(selection: Selection) -> Mapping[str, str]:
    return {one.view.id: one.reason for one in selection.left_out}


def test_every_view_without_a_fault_passes_in_the_sheets_order() -> None:
    assert ids(selected()) == ["front", "side", "back"]


def test_what_a_person_rejected_stays_out() -> None:
    selection = selected({"front": REJECT, "side": KEEP})
    assert ids(selection) == ["side", "back"]
    assert out(selection) == {"front": "rejected"}


@pytest.mark.parametrize("fault", ["face_below_gate", "wrong_yaw", "no_face", "over_budget"])
def test_a_view_with_a_fault_stays_out_and_says_which(fault: str) -> None:
    assert out(selected(faults={"front": fault})) == {"front": fault}


@pytest.mark.parametrize("fault", ["face_below_gate", "head_cut"])
def test_a_person_may_keep_a_view_that_is_what_its_caption_says(fault: str) -> None:
    selection = selected({"front": KEEP}, faults={"front": fault}, matches={"front": 0.4})
    [front, *_] = selection.picked
    assert (front.view.id, front.overruled, front.verdict) == ("front", fault, KEEP)
    assert front.picture.key == "jobs/ann/out/a1/01-front.png"
    assert front.counted_match == 0.4


@pytest.mark.parametrize(
    "fault",
    ["wrong_yaw", "wrong_framing", "face_shown", "several_faces", "no_face", "over_budget"],
)
def test_a_person_cannot_keep_a_picture_that_shows_another_view_than_its_caption(
    fault: str,
) -> None:
    assert out(selected({"front": KEEP}, faults={"front": fault})) == {"front": fault}


def test_a_face_that_the_base_made_up_stays_out_unless_a_person_keeps_it() -> None:
    made: dict[str, Any] = {"input": {"base": "flux-dev"}, "base_faces": ["side"]}
    assert out(selected(**made)) == {"side": "base_face"}
    assert ids(selected({"side": KEEP}, **made)) == ["front", "side", "back"]


def test_a_face_that_the_base_drew_with_the_persons_lora_passes() -> None:
    both = {"base": "flux-dev", "lora_name": "a", "reference_images": ["inputs/ann.png"]}
    lora = LoraFile("a.safetensors", "loras/a.safetensors", "0" * 64, "")
    selection = selected(input=both, base_faces=["side"], lora=lora)
    assert ids(selection) == ["front", "side", "back"]


def test_scores_are_those_that_were_told_of_the_whole_sheet_where_there_are_any() -> None:
    sheet = MadeSheet(input={"views": VIEWS})
    plan, records = sheet.plan, SheetRecords.of(sheet.records())
    told = judge_sheet(plan, records, SheetLooks({}), usd=0.1)
    changed = [view.model_copy(update={"match": 0.42}) for view in told.views]
    document = told.model_copy(update={"views": tuple(changed)})
    result = sheet.ended(plan, records)
    assert select(plan, result, records, document).picked[0].match == 0.42
    assert select(plan, result, records).picked[0].match == 0.9


def test_a_match_to_a_reference_from_the_side_counts_for_nothing() -> None:
    [front, *_] = selected().picked
    assert front.counted_match == front.match == 0.9
    assert replace(front, match_reason="profile").counted_match is None


def test_a_composition_whose_face_was_still_to_be_made_cannot_be_kept() -> None:
    selection = selected(
        {"front": KEEP},
        input={"base": "flux-dev"},
        base_faces=["front"],
        faults={"front": "head_cut"},
    )
    assert out(selection) == {"front": "head_cut"}


def test_records_that_came_after_the_result_count_for_nothing() -> None:
    sheet = MadeSheet(input={"views": VIEWS})
    plan, records = sheet.plan, SheetRecords.of(sheet.records())
    result = sheet.ended(plan, records)
    fewer = result.model_copy(update={"outputs": result.outputs[:1]})
    selection = select(plan, fewer, records)
    assert ids(selection) == ["front"]
    assert out(selection) == {"side": "not_made", "back": "not_made"}


def test_a_review_of_views_that_the_sheet_has_not_changes_nothing() -> None:
    assert len(selected({"nobody": REJECT}).picked) == len(VIEWS)

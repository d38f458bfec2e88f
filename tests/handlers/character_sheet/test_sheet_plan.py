import json

import pytest

from config.models import load_models
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.planner import plan_sheet
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.kinds.requirements import LoraFile
from tests.handlers.character_sheet.sheets import lora_sheet, sheet

MODELS = load_models(None)
LORA = LoraFile("ann.safetensors", "loras/character-ann.safetensors", "ab" * 32, "ohwx woman")


def planned(
    request: CharacterSheetInput, id: str = "job-1", lora: LoraFile | None = None
) -> SheetPlan:
    return plan_sheet(request, id, MODELS, lora)


def test_a_plan_is_read_as_it_was_written() -> None:
    plan = planned(lora_sheet(base="flux-dev", views="lora-24"), lora=LORA)
    assert SheetPlan.parse(plan.body()) == plan


def test_fields_of_a_later_version_are_passed_over() -> None:
    plan = planned(sheet())
    body = json.loads(plan.body())
    for part in (body, body["views"][0], body["views"][0]["head"], body["thresholds"]):
        part["later"] = 1
    assert SheetPlan.parse(json.dumps(body).encode()) == plan


def test_two_passes_draw_the_head_for_the_face_but_not_by_a_plan_from_before_it() -> None:
    assert not planned(sheet()).face_landmarks
    plan = planned(sheet(base="flux-dev"))
    assert plan.face_landmarks
    before = SheetPlan.parse(plan.model_dump_json(exclude={"face_landmarks"}).encode())
    assert before is not None
    assert not before.face_landmarks


def test_references_in_profile_stand_apart_but_not_by_a_plan_from_before_they_did() -> None:
    plan = planned(sheet())
    assert plan.profiles_apart
    before = SheetPlan.parse(plan.model_dump_json(exclude={"profiles_apart"}).encode())
    assert before is not None
    assert not before.profiles_apart


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"v": 1}'])
def test_what_is_no_plan_is_none(body: bytes) -> None:
    assert SheetPlan.parse(body) is None


def test_views_are_numbered_from_one_and_named_for_files() -> None:
    names = [view.name for view in planned(sheet()).views]
    assert names[0] == "01-front"
    assert names[9] == "10-front-dynamic"

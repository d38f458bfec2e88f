from typing import Any

import pytest

from config.errors import MissingModel
from config.models import load_models
from handlers.character_sheet.combinations import Making, ScoredAgainst
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.planner import plan_sheet
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.kinds.requirements import LoraFile
from tests.handlers.character_sheet.sheets import FACE, lora_sheet, sheet

MODELS = load_models(None)
LORA = LoraFile("ann.safetensors", "loras/character-ann.safetensors", "ab" * 32, "ohwx woman")


def planned(
    request: CharacterSheetInput, id: str = "job-1", lora: LoraFile | None = None
) -> SheetPlan:
    return plan_sheet(request, id, MODELS, lora)


def test_equal_jobs_have_equal_plans() -> None:
    assert planned(sheet()).body() == planned(sheet()).body()


def test_one_seed_serves_all_views_and_each_further_attempt_has_another() -> None:
    views = planned(sheet(seed=7, attempts_per_view=3)).views
    assert {view.seeds for view in views} == {views[0].seeds}
    assert views[0].seeds[0] == 7
    assert len({*views[0].seeds}) == 3


def test_a_seed_a_view_differs_from_view_to_view() -> None:
    views = planned(sheet(seed=7, seeds="per-view")).views
    assert views[0].seeds[0] == 7
    seeds = [seed for view in views for seed in view.seeds]
    assert len({*seeds}) == len(seeds)


def test_without_a_seed_the_jobs_id_gives_it() -> None:
    assert planned(sheet()).views[0].seeds == planned(sheet()).views[0].seeds
    assert planned(sheet()).views[0].seeds != planned(sheet(), "job-2").views[0].seeds


@pytest.mark.parametrize(
    ("request_", "making", "composes", "face_pass"),
    [
        (sheet(), Making.INSTANTID, False, True),
        (sheet(base="flux-dev"), Making.FACE_PASS, True, True),
        (sheet(base="z-image-turbo"), Making.FACE_PASS, True, True),
        (lora_sheet(base="flux-dev"), Making.COMPOSED, True, False),
        (lora_sheet(), Making.COMPOSED, True, False),
        (sheet(base="flux-dev", lora_id="ann"), Making.FACE_PASS, True, True),
    ],
)
def test_base_and_likeness_say_how_a_view_is_made(
    request_: CharacterSheetInput, making: Making, composes: bool, face_pass: bool
) -> None:
    plan = planned(request_)
    front = plan.views[0]
    assert (plan.making, front.making) == (making, making)
    assert (front.composes, front.face_pass) == (composes, face_pass)


def test_a_back_view_is_made_without_a_face() -> None:
    back = next(view for view in planned(sheet()).views if view.back)
    assert (back.head, back.making) == (None, Making.COMPOSED)


def test_weights_stand_in_it_by_role_with_their_sums() -> None:
    one = planned(sheet())
    assert {*one.composition_weights} == {"checkpoint", "instantid", "controlnet"}
    assert one.face_weights == {}
    two = planned(sheet(base="flux-dev"))
    assert "unet" in two.composition_weights
    assert {*two.face_weights} == {"checkpoint", "instantid", "controlnet"}
    table = MODELS.weights("flux-dev")["unet"]
    assert two.composition_weights["unet"].sha256 == table.sha256
    assert {*planned(lora_sheet()).composition_weights} == {"checkpoint"}


def test_the_lora_stands_in_it_by_its_sum_with_the_trigger_word_beside_it() -> None:
    plan = planned(lora_sheet(base="flux-dev", lora_strength=0.8), lora=LORA)
    assert plan.lora is not None
    assert (plan.lora.key, plan.lora.sha256, plan.lora.strength) == (LORA.key, LORA.sha256, 0.8)
    assert plan.views[0].prompt.startswith("ohwx woman, ")
    own = planned(lora_sheet(trigger_word="zkj"), lora=LORA)
    assert own.views[0].prompt.startswith("zkj, ")


@pytest.mark.parametrize(
    ("request_", "against"),
    [
        (sheet(), ScoredAgainst.REFERENCES),
        (sheet(lora_id="ann"), ScoredAgainst.REFERENCES),
        (lora_sheet(), ScoredAgainst.BEST_FRONT),
        (lora_sheet(view_ids=["side-left", "back"]), ScoredAgainst.PAIRWISE),
    ],
)
def test_it_says_whose_face_the_views_are_scored_against(
    request_: CharacterSheetInput, against: ScoredAgainst
) -> None:
    assert planned(request_).scored_against is against


def test_each_framing_has_its_size() -> None:
    plan = planned(sheet(sizes={"full": {"width": 768, "height": 1280}}))
    sizes = {view.framing: (view.width, view.height) for view in plan.views}
    assert sizes == {"close-up": (1024, 1024), "half": (896, 1152), "full": (768, 1280)}


def test_thresholds_and_bounds_of_the_sheet_are_fixed_in_it() -> None:
    given: dict[str, Any] = {"min_face_match": 0.85, "attempts_per_view": 2, "min_views": 9}
    plan = planned(sheet(**given))
    assert plan.thresholds.min_face_match == 0.85
    assert (plan.attempts_per_view, plan.min_views) == (2, 9)
    assert plan.references == (FACE,)


def test_an_nsfw_sheet_needs_the_uncensored_checkpoint() -> None:
    with pytest.raises(MissingModel) as missing:
        planned(sheet(base="flux-dev", nsfw=True))
    assert missing.value.field == "input.nsfw"


def test_an_unknown_sdxl_checkpoint_is_refused_by_name() -> None:
    with pytest.raises(MissingModel, match="lists no SDXL checkpoint 'mine'"):
        planned(sheet(sdxl_checkpoint="mine"))


def test_the_name_is_no_part_of_a_prompt() -> None:
    """Models know the names of people, and would pull the face towards them."""
    plan = planned(sheet(name="Zebulon"))
    assert plan.name == "Zebulon"
    assert not any("Zebulon" in view.prompt + view.caption for view in plan.views)

from collections import Counter

import pytest
from pydantic import ValidationError

from handlers.character_sheet.views import PRESETS, Preset, View
from handlers.faces.view import Framing
from handlers.kinds.view_fields import HeadInput

TEN = PRESETS[Preset.TEN]
LORA_24 = PRESETS[Preset.LORA_24]


def test_the_ten_views_are_those_that_existing_clients_ask_for() -> None:
    asked = [
        ("back" if view.back else view.head.yaw, view.pose, view.expression, view.light)
        for view in TEN
    ]
    assert asked == [
        (0, "standing", "neutral", "studio"),
        (0, "standing", "smiling", "natural"),
        (-35, "standing", "neutral", "studio"),
        (35, "standing", "confident", "natural"),
        (-85, "standing", "neutral", "studio"),
        (85, "standing", "neutral", "natural"),
        ("back", "standing", "", "studio"),
        (0, "sitting", "relaxed", "natural"),
        (-35, "sitting", "neutral", "studio"),
        (0, "dynamic", "energetic", "dramatic"),
    ]


def test_the_ten_views_are_close_up_half_and_full_in_about_equal_parts() -> None:
    assert Counter(view.framing for view in TEN) == {
        Framing.CLOSE_UP: 3,
        Framing.HALF: 4,
        Framing.FULL: 3,
    }


def test_a_view_named_left_turns_to_the_pictures_left() -> None:
    named = [view for views in PRESETS.values() for view in views if "left" in view.id]
    assert len(named) >= 6
    assert all(view.head.yaw < 0 for view in named)


def test_lora_24_is_a_third_each_of_close_up_half_and_full_with_two_backs() -> None:
    faces = Counter(view.framing for view in LORA_24 if not view.back)
    assert faces == {Framing.CLOSE_UP: 8, Framing.HALF: 8, Framing.FULL: 6}
    assert sum(view.back for view in LORA_24) == 2


def test_close_ups_of_lora_24_look_ahead_to_both_sides_and_up() -> None:
    heads = [view.head for view in LORA_24 if view.framing is Framing.CLOSE_UP]
    assert Counter((head.yaw > 0) - (head.yaw < 0) for head in heads) == {0: 4, -1: 2, 1: 2}
    assert sum(head.pitch > 0 for head in heads) == 1


def test_no_two_views_of_lora_24_share_head_framing_and_clothes() -> None:
    seen = {(view.asked_head, view.framing, view.outfit) for view in LORA_24}
    assert len(seen) == len(LORA_24)


@pytest.mark.parametrize("preset", Preset)
def test_no_two_views_of_a_preset_have_the_same_id(preset: Preset) -> None:
    ids = [view.id for view in PRESETS[preset]]
    assert len({*ids}) == len(ids)


def test_a_back_view_has_neither_a_head_nor_an_expression() -> None:
    assert View(id="back", back=True).asked_head is None
    for more in ({"head": HeadInput(yaw=10)}, {"expression": "smiling"}):
        with pytest.raises(ValidationError, match="a back view shows no face"):
            View(id="back", back=True, **more)


@pytest.mark.parametrize("id", ["Front", "front_left", "../front", "-front", "", "x" * 49])
def test_an_id_that_is_no_file_name_is_refused(id: str) -> None:
    with pytest.raises(ValidationError):
        View(id=id)


@pytest.mark.parametrize("angle", [{"yaw": 91}, {"pitch": -46}, {"roll": 46}, {"yaw": "10"}])
def test_a_head_that_no_neck_turns_so_far_is_refused(angle: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        HeadInput(**angle)

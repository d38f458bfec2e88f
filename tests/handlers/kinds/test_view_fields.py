from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from handlers.character_sheet.views import PRESETS, Preset
from handlers.faces.head import Head
from handlers.kinds.view_fields import HEADS, HeadInput, HeadName, NamedHead

HEAD: TypeAdapter[HeadInput] = TypeAdapter(NamedHead)


def test_every_name_of_the_schema_stands_for_a_head() -> None:
    assert get_args(HeadName) == tuple(HEADS)
    schema = HEAD.json_schema()
    assert [form.get("enum") for form in schema["anyOf"]] == [[*HEADS], None]


@pytest.mark.parametrize("name", HEADS)
def test_a_name_and_its_angles_ask_for_the_same(name: str) -> None:
    assert HEAD.validate_python(name) == HEADS[name]
    assert HEAD.validate_python(HEADS[name].model_dump()) == HEADS[name]


def test_left_is_the_picture_s_left() -> None:
    assert HEAD.validate_python("three-quarter-left").head == Head(yaw=-35)


@pytest.mark.parametrize("name", ["three-quarter-left", "side-right"])
def test_a_name_turns_the_head_as_the_view_of_that_name(name: str) -> None:
    (view,) = (each for each in PRESETS[Preset.TEN] if each.id == name)
    assert view.head == HEADS[name]


@pytest.mark.parametrize("given", ["left", "", "Front"])
def test_another_name_is_refused_with_those_that_there_are(given: str) -> None:
    with pytest.raises(ValidationError, match=f"no head is named '{given}'; there are front, thr"):
        HEAD.validate_python(given)


@pytest.mark.parametrize("given", [{"yaw": 91}, {"yaw": "10"}, {"jaw": 1}, 35, None, ["front"]])
def test_what_is_neither_a_name_nor_angles_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        HEAD.validate_json(TypeAdapter(Any).dump_json(given))

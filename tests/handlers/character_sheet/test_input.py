from typing import Any

import pytest
from pydantic import ValidationError

from handlers.character_sheet.input import CharacterSheetInput, Size
from tests.handlers.character_sheet.sheets import FACE, lora_sheet, sheet


def why_refused(**given: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        sheet(**given)
    (error, *_) = refused.value.errors()
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"


def test_a_name_and_a_reference_are_enough() -> None:
    request = sheet()
    assert len(request.chosen_views) == 10
    assert (request.base, request.base_steps, request.least_views) == ("sdxl", 25, 7)


def test_a_lora_stands_for_the_references() -> None:
    assert lora_sheet().reference_images == ()


def test_a_sheet_of_nobody_is_refused() -> None:
    assert "reference_images, lora_id or lora_name is required" in why_refused(reference_images=[])


@pytest.mark.parametrize(
    "given", [{"trigger_word": "ohwx"}, {"lora_strength": 0.5}, {"lora_version": "1"}]
)
def test_words_about_a_lora_without_one_are_refused(given: dict[str, Any]) -> None:
    assert "lora_id or lora_name is required" in why_refused(**given)


def test_two_loras_are_refused() -> None:
    assert "not both" in why_refused(lora_id="a", lora_name="b")


@pytest.mark.parametrize(
    ("references", "why"),
    [
        ([FACE] * 2, "a picture is named twice"),
        ([f"inputs/{n}.png" for n in range(6)], "at most 5 items"),
        (["/etc/passwd"], "must be a key under inputs/"),
        (["https://example.com/a.png"], "must be a key under inputs/"),
    ],
)
def test_references_are_one_to_five_keys(references: list[str], why: str) -> None:
    assert why in why_refused(reference_images=references)


def test_own_views_are_made_in_their_order() -> None:
    request = sheet(views=[{"id": "right", "head": {"yaw": 30}}, {"id": "back", "back": True}])
    assert [view.id for view in request.chosen_views] == ["right", "back"]


def test_some_views_of_a_preset_are_made_in_the_order_in_which_they_are_named() -> None:
    request = sheet(view_ids=["back", "front"])
    assert [view.id for view in request.chosen_views] == ["back", "front"]
    assert request.least_views == 2


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"views": "nine"}, "'ten' or 'lora-24'"),
        ({"views": []}, "a sheet needs a view"),
        ({"views": [{"id": "a"}, {"id": "a"}]}, "two views have the id 'a'"),
        ({"views": [{"id": "a", "head": {"yaw": 120}}]}, "less than or equal to 90"),
        ({"views": [{"id": f"v{n}"} for n in range(41)]}, "at most 40 items"),
        ({"view_ids": ["frnot"]}, "no view is named 'frnot'; there are front,"),
        ({"view_ids": ["front", "front"]}, "a view is named twice"),
        ({"min_views": 11}, "11 is more than the 10 views"),
        ({"view_ids": ["front"], "min_views": 2}, "2 is more than the 1 views"),
        ({"attempts_per_view": 0}, "greater than or equal to 1"),
        ({"min_face_match": 1.5}, "less than or equal to 1"),
        ({"name": "  "}, "match pattern"),
        ({"base": "flux-schnell"}, "'sdxl', 'flux-dev' or 'z-image-turbo'"),
        ({"sizes": {"half": {"width": 1000, "height": 1024}}}, "multiple of 64"),
    ],
)
def test_what_cannot_be_made_is_refused(given: dict[str, Any], why: str) -> None:
    assert why in why_refused(**given)


def test_a_size_beyond_what_models_are_trained_on_is_refused() -> None:
    with pytest.raises(ValidationError, match="more than 2097152"):
        Size(width=1536, height=1472)


def test_a_sheet_has_no_similarity_gate() -> None:
    """A cosine means another thing with each embedder; a match does not."""
    assert "min_face_similarity" not in CharacterSheetInput.model_fields


def test_z_image_takes_eight_steps_unless_told_otherwise() -> None:
    assert sheet(base="z-image-turbo").base_steps == 8
    assert sheet(base="z-image-turbo", steps=12).base_steps == 12

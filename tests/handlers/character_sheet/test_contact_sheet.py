import io
from typing import Any

import pytest
from PIL import Image

from handlers.character_sheet.contact_sheet import (
    BAD,
    CELL,
    FAINT,
    GAP,
    GOOD,
    HEAD,
    HEIGHT,
    LABEL,
    MIDDLING,
    WIDTH,
    contact_sheet,
    head_lines,
    thumbnail,
    title,
    view_lines,
)
from handlers.character_sheet.sheet_document import SheetDocument
from tests.handlers.character_sheet.made_sheets import judged, looks, made, planned
from tests.handlers.character_sheet.sheets import lora_sheet, sheet
from tests.support.portraits import portrait

PLAN = planned(sheet(name="Ann Weaver"))
PICTURE = thumbnail(Image.open(io.BytesIO(portrait({}, size=(116, 150)))).convert("RGB"))


def document(**given: dict[str, float] | dict[str, str] | dict[str, int] | float) -> SheetDocument:
    return judged(PLAN, made(PLAN, **given), looks(PLAN), usd=0.0432)  # type: ignore[arg-type]


def opened(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    return image


def test_its_head_says_who_how_many_and_whether_it_can_be_trained_on() -> None:
    name, numbers, verdict = head_lines(document())
    assert name.text == "Ann Weaver"
    assert "10 of 10 views" in numbers.text
    assert "match 0.90 mean, 0.90 worst" in numbers.text
    assert "$0.043" in numbers.text
    assert verdict.text.startswith("trainable: yes")
    assert verdict.colour == GOOD


def test_a_set_that_cannot_says_because() -> None:
    *_, verdict = head_lines(document(matches={"front": 0.3}))
    assert verdict.text.startswith("trainable: no, because")
    assert verdict.colour == MIDDLING


@pytest.mark.parametrize(
    ("id", "given", "said", "colour"),
    [
        ("front", {}, "match 0.90, 1 try", GOOD),
        ("front", {"matches": {"front": 0.75}}, "match 0.75, 1 try", MIDDLING),
        ("front", {"matches": {"front": 0.2}, "tries": {"front": 3}}, "match 0.20, 3 tries", BAD),
        ("side-left", {}, "similarity 0.72 (profile), 1 try", None),
        ("side-left", {"profile_match": 0.2}, "match 0.20 (profile), 1 try", FAINT),
        ("back", {}, "from behind, 1 try", None),
        ("front", {"missing": {"front": "head_cut"}}, "missing: head cut, 1 try", BAD),
    ],
)
def test_each_view_says_its_score_or_why_there_is_none(
    id: str, given: dict[str, Any], said: str, colour: tuple[int, int, int] | None
) -> None:
    view = next(view for view in document(**given).views if view.id == id)
    first, _, last = view_lines(view)
    assert first.text == f"{view.number:02d} {id}"
    assert last.text == said
    assert colour is None or last.colour == colour


def test_every_view_has_its_place_and_a_missing_one_stays_empty() -> None:
    pictures = {view.nn: PICTURE for view in PLAN.views if view.id != "front-smiling"}
    drawn = opened(contact_sheet(document(missing={"front-smiling": "wrong_yaw"}), pictures))
    assert drawn.width == GAP + 5 * (WIDTH + GAP)
    corner = (GAP + WIDTH + GAP + 5, HEAD + 5)
    assert drawn.getpixel(corner) == CELL
    middle = (GAP + WIDTH // 2, HEAD + HEIGHT // 2)
    assert drawn.getpixel(middle) != CELL


def test_a_large_sheet_has_six_in_a_row_and_a_small_one_room_for_its_head() -> None:
    for request, columns in ((lora_sheet(views="lora-24"), 6), (sheet(view_ids=["front"]), 3)):
        plan = planned(request)
        found = judged(plan, made(plan), {}, usd=0.1)
        assert opened(contact_sheet(found, {})).width == GAP + columns * (WIDTH + GAP)


def test_equal_sheets_are_equal_pictures() -> None:
    pictures = {1: PICTURE}
    assert contact_sheet(document(), pictures) == contact_sheet(document(), pictures)


@pytest.mark.parametrize("name", ["Ännchen", "Анна", "林", "x" * 80, "<b>&amp;</b>", "a\u202eb"])
def test_any_name_can_be_drawn(name: str) -> None:
    plan = planned(sheet(name=name, view_ids=["front"]))
    assert opened(contact_sheet(judged(plan, made(plan), {}, usd=0.0), {})).height > HEAD


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("Ännchen Großmann", "Annchen Grossmann"),
        ("Łucja O\u2019Brien", "Lucja O\u2019Brien"),
        ("王芳", "j1"),
        ("مريم", "j1"),
        ("प्रिया", "j1"),
        ("Анна", "j1"),
        ("Ann 🦊", "Ann  ·  j1"),
        ("王芳 (Fang Wang)", "(Fang Wang)  ·  j1"),
    ],
)
def test_a_name_in_letters_that_cannot_be_drawn_is_told_by_the_job_s_id(
    name: str, drawn: str
) -> None:
    plan = planned(sheet(name=name, view_ids=["front"]))
    found = judged(plan, made(plan), {}, usd=0.0).model_copy(update={"job_id": "j1"})
    assert title(found) == drawn
    assert head_lines(found)[0].text == drawn


def test_why_it_cannot_be_trained_on_is_told_to_its_end() -> None:
    plan = planned(sheet(view_ids=["front"]))
    found = judged(plan, made(plan), {}, usd=0.0)
    long = found.set.model_copy(update={"because": "1 picture, and 8 are the least; " * 8})
    short = long.model_copy(update={"because": "no"})

    heights = [
        opened(contact_sheet(found.model_copy(update={"set": each}), {})).height
        for each in (short, long)
    ]

    assert heights[0] == HEAD + HEIGHT + LABEL + 2 * GAP
    assert heights[1] > heights[0] + 2 * 20


def test_what_costs_nothing_says_so_without_decimals() -> None:
    plan = planned(sheet())
    assert head_lines(judged(plan, made(plan), {}, usd=0.0))[1].text.endswith("$0")

from typing import Any

import pytest

from handlers.character_sheet.sheet_plan import PlannedView
from pipeline.datasets.captions import Subject, as_word, captions, common_parts, one_line
from tests.support.datasets import MadeSheet
from tests.support.sheets import planned_view

OHWX = Subject("ohwx", "woman")


def views(*asked: dict[str, Any], **input: Any) -> tuple[PlannedView, ...]:
    listed = [{"id": f"v{number}", **view} for number, view in enumerate(asked, 1)]
    return MadeSheet(input={"views": listed, **input}).plan.views


def test_a_caption_has_the_trigger_word_first_and_then_what_varies() -> None:
    first, second = captions(
        views(
            {"framing": "close-up", "expression": "smiling", "outfit": "a red scarf"},
            {"head": {"yaw": 35}, "pose": "sitting", "light": "window", "background": "garden"},
        ),
        OHWX,
    )
    assert first == (
        "ohwx woman, close-up portrait photograph, facing the camera, a gentle smile,"
        " wearing a red scarf, soft studio light, a plain grey background"
    )
    assert second == (
        "ohwx woman, half-length portrait photograph, from the waist up, three-quarter view, the"
        " face turned to the right, sitting on a chair, light from a window, a garden in the"
        " background"
    )


def test_no_caption_tells_what_the_person_always_has() -> None:
    for caption in captions(MadeSheet(input={"views": "lora-24"}).plan.views, OHWX):
        assert "red hair" not in caption
        assert "30" not in caption


def test_what_all_pictures_have_in_common_stands_in_no_caption() -> None:
    made = views({}, {"head": {"yaw": 35}}, {"back": True}, outfit="a grey sweater")
    assert common_parts(made) == {
        "pose": "standing",
        "clothes": "wearing a grey sweater",
        "light": "soft studio light",
        "place": "a plain grey background",
    }
    assert captions(made, OHWX)[0] == (
        "ohwx woman, half-length portrait photograph, from the waist up, facing the camera"
    )


def test_an_expression_that_all_faces_have_is_common_though_a_back_has_none() -> None:
    made = views({"expression": "neutral"}, {"expression": "neutral"}, {"back": True})
    assert common_parts(made)["expression"] == "a neutral expression"


def test_one_picture_has_nothing_in_common_with_others() -> None:
    [alone] = captions(views({"expression": "neutral"}), OHWX)
    assert "a plain grey background" in alone
    assert "a neutral expression" in alone


def test_a_view_from_behind_always_says_so() -> None:
    for caption in captions(views({"back": True}, {"back": True}), OHWX):
        assert "seen from behind" in caption


HOSTILE = "red\n\r\x1b[31m hat,, [trigger] {a|b}\u2028🧣\x00 café ,"


def test_a_callers_text_is_data() -> None:
    first, second = captions(views({"outfit": HOSTILE}, {"outfit": "a coat"}), OHWX)
    assert first.endswith("wearing red (31m hat, (trigger) (a|b) 🧣 café")
    for caption in (first, second):
        assert caption.splitlines() == [caption]
        assert caption.isprintable()
        assert not {*"[]{}"} & {*caption}
        assert ", ," not in caption


@pytest.mark.parametrize("text", ["", " ", ",", "\n", "\x00", "[", "🧣", "a\ud800b"])
def test_no_text_makes_a_caption_empty_or_unwritable(text: str) -> None:
    view = planned_view(1, caption=text, caption_parts={"framing": text, "clothes": text})
    [caption] = captions([view], OHWX)
    assert caption.startswith("ohwx woman")
    assert caption.encode("utf-8")


def test_the_caption_of_an_older_plan_gets_the_new_trigger_word_for_its_own() -> None:
    [caption] = captions([planned_view(1, caption="ann, close-up, smiling")], OHWX, "ann")
    assert caption == "ohwx woman, close-up, smiling"


@pytest.mark.parametrize(
    ("text", "line"),
    [("a,b", "a, b"), (" a , , b,", "a, b"), ("a\tb\nc", "a b c"), ("[a]", "(a)")],
)
def test_a_text_is_put_on_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_word_has_no_comma_which_would_end_what_a_trainer_keeps_in_front() -> None:
    assert as_word("ann, a [woman]") == "ann a (woman)"

import pytest

from handlers.character_sheet.prompts import SheetWords, angle, caption, negative_prompt, prompt
from handlers.character_sheet.views import View
from handlers.faces.head import Head
from handlers.faces.view import Framing
from handlers.kinds.view_fields import HeadInput

ANN = SheetWords(description="a woman of 30 with short red hair")


def said(text: str) -> list[str]:
    return text.split(", ")


def test_a_view_reads_as_a_sentence() -> None:
    view = View(id="a", head=HeadInput(yaw=-40), expression="neutral", outfit="a grey sweater")
    assert prompt(view, ANN) == (
        "half-length portrait photograph of a woman of 30 with short red hair, from the waist up,"
        " three-quarter view, the face turned to the left, a neutral expression, standing,"
        " wearing a grey sweater, soft studio light, a plain grey background"
    )


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (Head(), "front"),
        (Head(yaw=14), "front"),
        (Head(yaw=-15), "three-quarter-left"),
        (Head(yaw=59), "three-quarter-right"),
        (Head(yaw=-60), "side-left"),
        (Head(yaw=90), "side-right"),
        (None, "back"),
    ],
)
def test_left_is_the_pictures_left(head: Head | None, name: str) -> None:
    assert angle(head) == name


def test_a_raised_lowered_or_tilted_head_is_said() -> None:
    assert "looking up" in prompt(View(id="a", head=HeadInput(pitch=20)), ANN)
    assert "looking down" in prompt(View(id="a", head=HeadInput(pitch=-20)), ANN)
    assert "tilted to the right" in prompt(View(id="a", head=HeadInput(roll=20)), ANN)
    assert "tilted" not in prompt(View(id="a", head=HeadInput(roll=3)), ANN)


def test_a_back_view_says_so_in_prompt_and_caption() -> None:
    """A caption that does not would bind "from behind" to the trigger word."""
    view = View(id="back", back=True)
    assert "seen from behind" in prompt(view, ANN)
    assert "seen from behind" in caption(view, ANN)
    assert "face" in said(negative_prompt(view, ANN))


def test_a_close_up_says_nothing_of_standing() -> None:
    close = View(id="a", framing=Framing.CLOSE_UP, pose="standing")
    assert "standing" not in prompt(close, ANN)
    assert "chin on a hand" in prompt(
        View(id="a", framing=Framing.CLOSE_UP, pose="chin on a hand"), ANN
    )


def test_the_trigger_word_comes_first_and_once() -> None:
    view = View(id="a")
    words = SheetWords(description="a woman", trigger_word="ohwx woman")
    assert said(prompt(view, words))[0] == "ohwx woman"
    again = SheetWords(description="ohwx woman in the rain", trigger_word="ohwx woman")
    assert prompt(view, again).count("ohwx woman") == 1


def test_without_any_word_on_who_it_is_a_person() -> None:
    assert prompt(View(id="a"), SheetWords()).startswith("half-length portrait photograph of a per")
    assert "a person" not in prompt(View(id="a"), SheetWords(trigger_word="ohwx"))


def test_a_caption_says_what_varies_and_not_who_it_is() -> None:
    words = SheetWords(description="a freckled woman", trigger_word="ohwx", style="film grain")
    text = caption(View(id="a", expression="smiling"), words)
    assert said(text)[0] == "ohwx"
    assert "a gentle smile" in text
    assert "freckled" not in text
    assert "film grain" not in text


def test_a_view_takes_clothes_and_background_of_the_sheet_unless_it_has_its_own() -> None:
    words = SheetWords(outfit="a blue coat", background="a harbour")
    assert "wearing a blue coat" in prompt(View(id="a"), words)
    assert "a harbour" in prompt(View(id="a"), words)
    own = prompt(View(id="a", outfit="a red coat", background="garden"), words)
    assert "wearing a red coat" in own
    assert "a garden in the background" in own
    assert "blue" not in own
    assert "harbour" not in own


def test_the_callers_own_words_stand_as_they_are() -> None:
    view = View(id="a", expression="one raised eyebrow", light="neon", pose="on a bicycle")
    for words in ("one raised eyebrow", "neon", "on a bicycle"):
        assert words in said(prompt(view, SheetWords()))


@pytest.mark.parametrize(
    "text", ["{style}", "{{ 7*7 }}", "%(name)s", "$HOME", "<b>bold</b>", "{0.__class__}", "\\n"]
)
def test_the_callers_words_are_data(text: str) -> None:
    for words in (SheetWords(description=text), SheetWords(style=text), SheetWords(outfit=text)):
        assert text in prompt(View(id="a"), words)


def test_a_prompt_is_one_line_of_visible_characters() -> None:
    words = SheetWords(description="a woman\r\nwith\u200b red\thair, ", trigger_word="\x00ohwx\n")
    text = prompt(View(id="a", expression="calm\n\nquiet"), words)
    assert text.isprintable()
    assert "photograph of a woman with red hair, from" in text
    assert "\n" not in caption(View(id="a"), words)


def test_the_callers_negative_words_come_first() -> None:
    assert said(negative_prompt(View(id="a"), SheetWords(negative_prompt="hat")))[0] == "hat"

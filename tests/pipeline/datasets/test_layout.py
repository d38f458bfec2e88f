import re

import pytest

from pipeline.datasets.layout import folder, picture_name, repeats, slug


@pytest.mark.parametrize(
    ("pictures", "times"), [(1, 20), (8, 20), (10, 20), (11, 18), (24, 8), (150, 1), (1000, 1)]
)
def test_an_epoch_shows_about_two_hundred_pictures_and_none_more_than_twenty_times(
    pictures: int, times: int
) -> None:
    assert repeats(pictures) == times


def test_the_folder_tells_kohya_the_repeats_and_the_words() -> None:
    assert folder(20, "ohwx", "woman") == "img/10_ohwx woman"


@pytest.mark.parametrize(
    "text", ["Zoë B_2", "../../etc", "a/b\\c", "🌹", "", "_", "a" * 500, "é\u0301", "con:\n"]
)
def test_no_text_of_a_caller_leaves_its_place_in_a_name(text: str) -> None:
    name = folder(20, text, text)
    assert re.fullmatch(r"img/10_[a-z0-9-]+ [a-z0-9-]+", name)
    assert re.fullmatch(r"01-[a-z0-9-]+\.png", picture_name(1, text, "png"))


def test_a_name_keeps_what_it_can_of_a_text() -> None:
    assert slug("Zoë B_2") == "zoe-b-2"

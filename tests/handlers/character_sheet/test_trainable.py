from dataclasses import replace

import pytest

from handlers.character_sheet.sheet_document import Pair
from handlers.character_sheet.trainable import Facts, reasons_against, summary, wanting

GOOD = Facts(
    pictures=10,
    faces=9,
    compared=7,
    worst=("03-left", 0.8),
    mean_match=0.92,
    least_pair=Pair(views=("01-front", "03-left"), similarity=0.7, match=0.8),
    twins=0,
    angles={"front": 4, "three-quarter-left": 2, "three-quarter-right": 2, "back": 1},
    framings={"close-up": 3, "half": 4, "full": 3},
)


def test_a_good_set_can_be_trained_on() -> None:
    assert reasons_against(GOOD) == []
    assert [*wanting(GOOD)] == []
    assert summary(GOOD) == ("10 pictures, worst match 0.80, mean 0.92, 3 close-up, 4 half, 3 full")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (replace(GOOD, pictures=7), "7 pictures, and 8 are the least"),
        (replace(GOOD, twins=3), "3 of 10 pictures are hardly another than one before"),
        (replace(GOOD, compared=4), "only 4 of 9 faces have a match"),
        (replace(GOOD, compared=0, mean_match=None, worst=None), "only 0 of 9 faces have a match"),
        (replace(GOOD, mean_match=0.84), "the mean match is 0.84, below 0.85"),
        (replace(GOOD, worst=("03-left", 0.69)), "03-left has match 0.69, below 0.7"),
        (
            replace(GOOD, least_pair=Pair(views=("a", "b"), match=0.4)),
            "a and b look like two people (match 0.40)",
        ),
        (replace(GOOD, strangers=("05-a",)), "05-a shows a face that the base made up"),
        (replace(GOOD, angles={"front": 9}), "no view from the left, none from the right"),
        (replace(GOOD, framings={"close-up": 1, "half": 9}), "1 of 10 pictures are close up"),
        (replace(GOOD, framings={"close-up": 8, "full": 2}), "8 of 10 pictures are close-up"),
    ],
)
def test_a_set_that_lacks_something_cannot_and_says_why(facts: Facts, why: str) -> None:
    assert why in reasons_against(facts)


def test_at_a_bound_a_set_still_passes() -> None:
    bound = replace(GOOD, mean_match=0.85, worst=("a", 0.7), twins=2, compared=5)
    assert reasons_against(replace(bound, least_pair=Pair(views=("a", "b"), match=0.5))) == []


def test_a_side_view_counts_for_its_side() -> None:
    sides = {"front": 6, "side-left": 2, "side-right": 2}
    assert reasons_against(replace(GOOD, angles=sides)) == []


def test_a_pair_without_a_match_says_nothing_of_two_people() -> None:
    assert reasons_against(replace(GOOD, least_pair=Pair(views=("a", "b"), similarity=-0.9))) == []


def test_what_to_add_is_counted() -> None:
    few = replace(GOOD, pictures=6, framings={"half": 6}, angles={"front": 6})
    assert [*wanting(few)] == [
        "add 2 pictures",
        "add a view from the left",
        "add a view from the right",
        "add 2 close-up",
    ]

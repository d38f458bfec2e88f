from itertools import pairwise

import pytest

from pipeline.pages.chart import (
    BARS_FROM,
    COLUMNS_LEFT,
    COLUMNS_RIGHT,
    COLUMNS_TOP,
    FLOOR,
    WIDTH,
    bars,
    columns,
)


def test_parts_stand_on_each_other_to_the_height_of_their_sum() -> None:
    [column] = columns({"a": {"warm": 3.0, "cold": 0.0, "lost": 1.0}}).stacks
    below, above = column.pieces

    assert (below.part, above.part) == ("warm", "lost")
    assert below.at + below.length == pytest.approx(FLOOR)
    assert above.at + above.length == pytest.approx(below.at)
    assert below.length == pytest.approx(3 * above.length)
    assert column.end == pytest.approx(above.at)


def test_columns_stay_within_the_frame_and_do_not_touch() -> None:
    drawn = columns({f"d{n}": {"warm": float(n)} for n in range(60)})

    ends = [(column.at, column.at + drawn.thickness) for column in drawn.stacks]
    assert ends[0][0] >= drawn.first == COLUMNS_LEFT
    assert ends[-1][1] <= drawn.last == pytest.approx(COLUMNS_RIGHT)
    assert all(one[1] < other[0] for one, other in pairwise(ends))
    assert min(piece.at for column in drawn.stacks for piece in column.pieces) >= COLUMNS_TOP


@pytest.mark.parametrize("highest", [0.00004, 0.7, 1.0, 13.0, 99_000.0])
def test_ticks_reach_over_the_highest_column_in_round_steps(highest: float) -> None:
    ticks = columns({"a": {"warm": highest}}).ticks

    assert 2 <= len(ticks) <= 7
    assert ticks[0].value == 0
    assert ticks[-1].value >= highest * 0.999
    assert ticks[-1].at >= COLUMNS_TOP - 1e-6


def test_segments_follow_each_other_without_gaps_to_the_end_of_their_bar() -> None:
    (bar,) = bars({"a": {"claim": 1.0, "sampling": 2.0, "decode": 0.5}}).stacks

    for before, after in pairwise(bar.pieces):
        assert after.at == pytest.approx(before.at + before.length)
    assert bar.end == pytest.approx(bar.pieces[-1].at + bar.pieces[-1].length)
    assert bar.value == 3.5


@pytest.mark.parametrize("longest", [0.0004, 0.3, 5.6, 9.99, 10.0, 240.0, 86_400.0])
def test_every_bar_and_tick_lies_in_the_picture(longest: float) -> None:
    made = bars({"a": {"claim": longest}, "b": {"claim": longest / 7}})

    assert all(BARS_FROM <= bar.end < WIDTH for bar in made.stacks)
    assert all(BARS_FROM <= tick.at < WIDTH for tick in made.ticks)
    assert all(bar.at + made.thickness <= made.last for bar in made.stacks)
    assert 1 <= len(made.ticks) <= 11


def test_equal_values_have_equal_lengths_in_all_bars() -> None:
    one, other = bars({"a": {"claim": 2.0}, "b": {"claim": 1.0, "start": 1.0}}).stacks

    assert one.end == pytest.approx(other.end)


def test_only_parts_that_can_be_seen_are_explained() -> None:
    assert bars({"a": {"claim": 2.0, "upload": 1e-6}}).parts == ["claim"]
    assert columns({"a": {"warm": 0.0}}).parts == []


def test_without_rows_there_is_nothing_to_draw_but_the_axis() -> None:
    empty = columns({})

    assert (bars({}).stacks, empty.stacks) == ([], [])
    assert (empty.last, len(empty.ticks)) == (COLUMNS_RIGHT, 2)

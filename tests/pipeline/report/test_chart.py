from itertools import pairwise

import pytest

from pipeline.report.chart import FLOOR, LEFT, TOP, WIDTH, chart


def test_parts_stand_on_each_other_to_the_height_of_their_sum() -> None:
    [column] = chart({"a": {"warm": 3.0, "cold": 0.0, "lost": 1.0}}).columns
    below, above = column.pieces

    assert (below.part, above.part) == ("warm", "lost")
    assert below.y + below.height == pytest.approx(FLOOR)
    assert above.y + above.height == pytest.approx(below.y)
    assert below.height == pytest.approx(3 * above.height)


def test_columns_stay_within_the_frame_and_do_not_touch() -> None:
    drawn = chart({f"d{n}": {"warm": float(n)} for n in range(60)})

    ends = [(column.x, column.x + column.width) for column in drawn.columns]
    assert ends[0][0] >= LEFT
    assert ends[-1][1] <= WIDTH
    assert all(one[1] < other[0] for one, other in pairwise(ends))
    assert min(piece.y for column in drawn.columns for piece in column.pieces) >= TOP
    assert sum(column.named for column in drawn.columns) == 12


@pytest.mark.parametrize("highest", [0.00004, 0.7, 1.0, 13.0, 99_000.0])
def test_ticks_reach_over_the_highest_in_round_steps(highest: float) -> None:
    ticks = chart({"a": {"warm": highest}}).ticks

    assert 2 <= len(ticks) <= 7
    assert ticks[0].value == 0
    assert ticks[-1].value >= highest * 0.999
    assert ticks[-1].y >= TOP - 1e-6


def test_nothing_can_be_drawn() -> None:
    assert chart({}).columns == []
    assert chart({"a": {"warm": 0.0}}).parts == []

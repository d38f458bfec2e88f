from itertools import pairwise

import pytest

from pipeline.contract.result import Metrics
from pipeline.local.demo.chart import PARTS, WIDTH, balanced, plot, seconds_by_part


def metrics(**seconds: float) -> Metrics:
    parts = {part: 0.0 for part in PARTS if part != "between"} | {"total": 0.0} | seconds
    return Metrics.model_validate(parts | {"gpu": "none", "gpu_seconds": 0.0, "cold": False})


def test_what_no_part_accounts_for_lies_between_them() -> None:
    parts = seconds_by_part(metrics(claim=3.0, sampling=1.0, upload=0.5, total=1.75))

    assert parts["between"] == pytest.approx(0.25)
    assert sum(parts.values()) == pytest.approx(4.75)


def test_segments_follow_each_other_without_gaps_to_the_end_of_their_bar() -> None:
    made = plot({"a": metrics(claim=1.0, sampling=2.0, decode=0.5, total=3.0)})

    (bar,) = made.bars
    for before, after in pairwise(bar.segments):
        assert after.x == pytest.approx(before.x + before.width)
    assert bar.end == pytest.approx(bar.segments[-1].x + bar.segments[-1].width)


@pytest.mark.parametrize("longest", [0.0004, 0.3, 5.6, 9.99, 10.0, 240.0, 86_400.0])
def test_every_bar_and_tick_lies_in_the_picture(longest: float) -> None:
    made = plot({"a": metrics(claim=longest), "b": metrics(claim=longest / 7)})

    assert all(made.left <= bar.end < WIDTH for bar in made.bars)
    assert all(made.left <= tick.x < WIDTH for tick in made.ticks)
    assert 1 <= len(made.ticks) <= 11


def test_equal_seconds_have_equal_lengths_in_all_bars() -> None:
    made = plot({"a": metrics(claim=2.0), "b": metrics(claim=1.0, start=1.0)})

    assert made.bars[0].end == pytest.approx(made.bars[1].end)


def test_only_parts_that_can_be_seen_are_explained() -> None:
    assert plot({"a": metrics(claim=2.0, upload=1e-6, total=1e-6)}).parts == ["claim"]


def test_no_jobs_make_an_empty_plot() -> None:
    assert plot({}).bars == []


@pytest.mark.parametrize(
    ("weights", "rows", "cuts"),
    [
        ([1, 1, 1, 1], 2, [0, 2, 4]),
        ([3, 1, 1, 1], 2, [0, 1, 4]),
        ([1], 5, [0, 1]),
        ([], 1, [0, 0]),
    ],
)
def test_rows_are_cut_so_that_the_heaviest_is_light(
    weights: list[float], rows: int, cuts: list[int]
) -> None:
    assert balanced(weights, rows) == cuts

import pytest

from handlers.comfyui.standin.bend import Bend, solved

POINTS = [(0.0, 0.0), (10.0, 0.0), (5.0, 6.0), (1.0, 11.0), (9.0, 11.0)]
PLACES = [(0.5, 0.0), (10.0, -0.5), (6.0, 6.5), (1.0, 11.0), (9.0, 12.0)]


def test_each_point_comes_near_its_place() -> None:
    bend = Bend(POINTS, PLACES)
    for point, place in zip(POINTS, PLACES, strict=True):
        assert bend.at(point) == pytest.approx(place, abs=0.1)


def test_far_away_nothing_moves() -> None:
    assert Bend(POINTS, PLACES).at((100.0, -80.0)) == pytest.approx((100.0, -80.0))


def test_points_that_lie_on_one_another_share_a_place() -> None:
    bend = Bend([(0.0, 0.0), *POINTS], [(0.4, 0.2), *PLACES])
    assert bend.at((0.0, 0.0)) == pytest.approx((0.45, 0.1), abs=0.1)


def test_linear_equations_are_solved() -> None:
    assert solved([[4.0, 1.0], [1.0, 3.0]], [1 + 2j, 2 - 1j]) == pytest.approx(
        [(1 + 7j) / 11, (7 - 6j) / 11]
    )

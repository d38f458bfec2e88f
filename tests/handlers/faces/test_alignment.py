import pytest

from handlers.faces.alignment import MEAN_FACE, Fit, chip_places, fit


@pytest.mark.parametrize("turn", [1 + 0j, 0.5j, -2 + 1j])
def test_a_turned_scaled_and_shifted_face_is_fitted_exactly(turn: complex) -> None:
    moved = Fit(turn, 30 - 7j)
    found = fit(MEAN_FACE, [moved.place(point) for point in MEAN_FACE])
    assert found is not None
    assert abs(found.turn - turn) < 1e-9
    assert abs(found.shift - (30 - 7j)) < 1e-9


def test_a_fit_backwards_undoes_it() -> None:
    moved = Fit(0.3 - 0.4j, 12 + 5j)
    assert moved.inverse().place(moved.place((3.0, 4.0))) == pytest.approx((3, 4))


def test_a_face_that_is_one_point_fits_nowhere() -> None:
    assert fit([(5.0, 5.0)] * 5, MEAN_FACE) is None


def test_a_chip_shows_the_face_with_padding_around_it() -> None:
    places = chip_places(150, 0.25)
    assert places[0] == pytest.approx((47.5, 46.6))
    assert all(25 < part < 125 for place in places for part in place)

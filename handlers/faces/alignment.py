"""Where a face's five points should lie, and the turn, scale and shift that bring them there."""

from collections.abc import Sequence
from dataclasses import dataclass

from handlers.faces.boxes import Point

MEAN_FACE: tuple[Point, ...] = (
    (0.225, 0.216),
    (0.755, 0.216),
    (0.490, 0.516),
    (0.254, 0.780),
    (0.726, 0.780),
)
"""Eyes, tip of the nose and corners of the mouth in a square around brows and chin, of side 1:
averages of the mean face in dlib's `get_face_chip_details`, on which its network was trained."""


GRID = 20
"""Points along a side, by which a share of the face is counted."""


@dataclass(frozen=True)
class Fit:
    """From points to their places: w = turn * z + shift, of complex x + iy."""

    turn: complex
    shift: complex

    def place(self, point: Point) -> Point:
        w = self.turn * complex(*point) + self.shift
        return w.real, w.imag

    def inverse(self) -> "Fit":
        return Fit(1 / self.turn, -self.shift / self.turn)


def fit(points: Sequence[Point], places: Sequence[Point]) -> Fit | None:
    """The four parameters with the least squared error. None where all points are one."""
    z, w = [complex(*point) for point in points], [complex(*place) for place in places]
    z_mean, w_mean = sum(z) / len(z), sum(w) / len(w)
    spread = sum(abs(each - z_mean) ** 2 for each in z)
    product = sum(
        (there - w_mean) * (here - z_mean).conjugate() for here, there in zip(z, w, strict=True)
    )
    if spread == 0 or product == 0:
        return None
    turn = product / spread
    return Fit(turn, w_mean - turn * z_mean)


def shown(points: Sequence[Point], size: tuple[int, int]) -> float:
    """Share of the face's square, from brows to chin, that lies in a picture of this size."""
    placed = fit(points, MEAN_FACE)
    if placed is None:
        return 0.0
    back = placed.inverse()
    grid = [((x + 0.5) / GRID, (y + 0.5) / GRID) for x in range(GRID) for y in range(GRID)]
    places = [back.place(each) for each in grid]
    return sum(0 <= x < size[0] and 0 <= y < size[1] for x, y in places) / len(places)


def chip_places(side: int, padding: float) -> list[Point]:
    """Places in a square picture that shows `padding` of the mean face's side around it."""
    scale = side / (1 + 2 * padding)
    return [((padding + x) * scale, (padding + y) * scale) for x, y in MEAN_FACE]

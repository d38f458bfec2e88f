"""A smooth bend of the plane that brings given points to given places."""

import math
from collections.abc import Sequence

from handlers.faces.boxes import Point

REACH = 1.0
"""How far a point takes its surroundings with it, in mean distances of the points from their
middle."""
GIVE = 0.02
"""How much a point may stay short of its place, so that points near each other tear nothing."""


class Bend:
    """Nothing moves far from the points."""

    def __init__(self, points: Sequence[Point], places: Sequence[Point]) -> None:
        self._points = [complex(*point) for point in points]
        middle = sum(self._points) / len(self._points)
        spread = sum(abs(point - middle) for point in self._points) / len(self._points)
        self._reach = REACH * spread
        away = [complex(*to) - own for own, to in zip(self._points, places, strict=True)]
        rows = [
            [
                self._weight(abs(one - other)) + GIVE * (at == n)
                for n, other in enumerate(self._points)
            ]
            for at, one in enumerate(self._points)
        ]
        self._pulls = solved(rows, away)

    def at(self, point: Point) -> Point:
        z = complex(*point)
        z += sum(
            pull * self._weight(abs(z - own))
            for pull, own in zip(self._pulls, self._points, strict=True)
        )
        return z.real, z.imag

    def _weight(self, distance: float) -> float:
        return math.exp(-((distance / self._reach) ** 2))


def solved(rows: Sequence[Sequence[float]], right: Sequence[complex]) -> list[complex]:
    """The unknowns of linear equations with a positive definite matrix, by elimination."""
    work = [[*map(complex, row), value] for row, value in zip(rows, right, strict=True)]
    for at in range(len(work)):
        work[at] = [value / work[at][at] for value in work[at]]
        for other in range(len(work)):
            if other != at:
                times = work[other][at]
                work[other] = [a - times * b for a, b in zip(work[other], work[at], strict=True)]
    return [row[-1] for row in work]

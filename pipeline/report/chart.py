"""Stacked columns, one a day, as geometry. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 960.0, 240.0
LEFT, RIGHT, TOP, FLOOR = 64.0, 12.0, 14.0, 206.0
WIDEST = 56.0
"""Of a column."""
NAMED_DAYS = 12
"""Days whose date has room below the axis."""


@dataclass(frozen=True)
class Piece:
    part: str
    value: float
    y: float
    height: float


@dataclass(frozen=True)
class Column:
    name: str
    x: float
    width: float
    pieces: Sequence[Piece]
    named: bool

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass(frozen=True)
class Tick:
    y: float
    value: float


@dataclass(frozen=True)
class Chart:
    columns: Sequence[Column]
    ticks: Sequence[Tick]
    parts: Sequence[str]
    """Those that can be seen."""
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    floor: float = FLOOR


def chart(days: Mapping[str, Mapping[str, float]]) -> Chart:
    """Day → part → value; parts are stacked in the order given."""
    highest = max((sum(parts.values()) for parts in days.values()), default=0.0)
    step = _step(highest or 1.0)
    top = step * max(1, -(-highest // step))
    scale = (FLOOR - TOP) / top
    room = (WIDTH - LEFT - RIGHT) / max(len(days), 1)
    every = -(-len(days) // NAMED_DAYS) or 1
    columns = [
        _column(name, n, parts, room, scale, named=n % every == 0)
        for n, (name, parts) in enumerate(days.items())
    ]
    ticks = [Tick(FLOOR - n * step * scale, n * step) for n in range(round(top / step) + 1)]
    seen = {piece.part for column in columns for piece in column.pieces}
    order = dict.fromkeys(part for parts in days.values() for part in parts)
    return Chart(columns, ticks, [part for part in order if part in seen])


def _column(
    name: str, n: int, parts: Mapping[str, float], room: float, scale: float, *, named: bool
) -> Column:
    width = min(room * 0.7, WIDEST)
    y, pieces = FLOOR, []
    for part, value in parts.items():
        if value > 0:
            y -= value * scale
            pieces.append(Piece(part, value, y, value * scale))
    return Column(name, LEFT + room * n + (room - width) / 2, width, pieces, named)


def _step(highest: float) -> float:
    """Between two ticks, so that there are two to five."""
    step = 1e-6
    for factor in (2, 2.5, 2) * 20:
        if highest / step <= 5:
            break
        step *= factor
    return step

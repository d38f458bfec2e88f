"""Stacks of parts along an axis, as geometry: bars that grow to the right, columns that grow
upwards. Lengths are in units of the drawing. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

WIDTH = 960.0
"""Of the drawing; its other lengths are in the same units."""
BARS_FROM, BARS_TO = 150.0, WIDTH - 64
"""x of zero, and of the end of the longest bar; names stand before, sums behind."""
BARS_TOP, BAR_ROOM, BAR = 8.0, 30.0, 18.0
COLUMNS_LEFT, COLUMNS_RIGHT = 64.0, WIDTH - 12
COLUMNS_TOP, FLOOR = 14.0, 206.0
WIDEST_COLUMN = 56.0

Rows = Mapping[str, Mapping[str, float]]
"""Stack → part → value. Parts are stacked in the order given."""


@dataclass(frozen=True)
class Piece:
    part: str
    value: float
    at: float
    """Its side with the lower coordinate on the axis."""
    length: float


@dataclass(frozen=True)
class Stack:
    name: str
    at: float
    """Its side with the lower coordinate across the axis."""
    pieces: Sequence[Piece]
    value: float
    """The sum of its parts, those left out too."""
    end: float
    """On the axis."""


@dataclass(frozen=True)
class Tick:
    at: float
    value: float


@dataclass(frozen=True)
class Chart:
    stacks: Sequence[Stack]
    ticks: Sequence[Tick]
    parts: Sequence[str]
    """Those that can be seen."""
    start: float
    """Of the axis: where zero is."""
    first: float
    last: float
    """Across the axis: where the room of the stacks begins and ends."""
    thickness: float
    """Of each stack."""
    width: float = WIDTH


@dataclass(frozen=True)
class _Axis:
    start: float
    end: float
    most_steps: int
    """Between ticks."""
    ends_on_tick: bool
    shortest: float
    """Pieces below that are left out."""


def bars(rows: Rows) -> Chart:
    """One below the other."""
    axis = _Axis(BARS_FROM, BARS_TO, most_steps=10, ends_on_tick=False, shortest=0.5)
    return _chart(rows, axis, BARS_TOP, BAR_ROOM, BAR)


def columns(rows: Rows) -> Chart:
    """Side by side between the two margins."""
    room = (COLUMNS_RIGHT - COLUMNS_LEFT) / max(len(rows), 1)
    axis = _Axis(FLOOR, COLUMNS_TOP, most_steps=5, ends_on_tick=True, shortest=0.0)
    return _chart(rows, axis, COLUMNS_LEFT, room, min(room * 0.7, WIDEST_COLUMN))


def _chart(rows: Rows, axis: _Axis, first: float, room: float, thickness: float) -> Chart:
    longest = max((sum(parts.values()) for parts in rows.values()), default=0.0)
    step = _step(longest or 1.0, axis.most_steps)
    steps = max(longest / step, 1.0)
    if axis.ends_on_tick:
        steps = ceil(steps)
    scale = (axis.end - axis.start) / (steps * step)
    stacks = [
        _stack(name, first + n * room + (room - thickness) / 2, parts, axis, scale)
        for n, (name, parts) in enumerate(rows.items())
    ]
    ticks = [Tick(axis.start + n * step * scale, n * step) for n in range(int(steps) + 1)]
    seen = {piece.part for stack in stacks for piece in stack.pieces}
    order = dict.fromkeys(part for parts in rows.values() for part in parts)
    parts = [part for part in order if part in seen]
    last = first + room * max(len(rows), 1)
    return Chart(stacks, ticks, parts, axis.start, first, last, thickness)


def _stack(name: str, at: float, parts: Mapping[str, float], axis: _Axis, scale: float) -> Stack:
    end, pieces = axis.start, []
    for part, value in parts.items():
        begin, end = end, end + value * scale
        if value > 0 and abs(end - begin) >= axis.shortest:
            pieces.append(Piece(part, value, min(begin, end), abs(end - begin)))
    return Stack(name, at, pieces, sum(parts.values()), end)


def _step(longest: float, most: int) -> float:
    """From one tick to the next, so that there are at most so many steps."""
    step = 1e-6
    for factor in (2, 2.5, 2) * 20:
        if longest / step <= most:
            break
        step *= factor
    return step

"""Where the seconds of each job went, as the geometry of stacked bars. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pipeline.contract.result import Metrics

PARTS: Mapping[str, str] = {
    "queue": "manifest written, not yet claimed",
    "claim": "claimed, waiting for a worker",
    "start": "start of worker and ComfyUI",
    "load": "loading weights",
    "encode": "encoding the prompt",
    "sampling": "sampler steps",
    "decode": "decoding the picture",
    "other": "other nodes, saving among them",
    "upload": "checking, converting and storing outputs",
    "between": "requests and messages around all that",
}
"""In the order in which they follow each other, but for the last."""

WHOLE_SECONDS = ("queue", "claim")
"""Between readings of the store's clock, which knows no fractions."""

LEFT, RIGHT, TOP, ROW, BAR = 150.0, 64.0, 8.0, 30.0, 18.0
WIDTH = 960.0
LABEL_FROM = 34.0
"""Width from which a segment has room for its seconds."""


@dataclass(frozen=True)
class Segment:
    part: str
    seconds: float
    x: float
    width: float
    label: str


@dataclass(frozen=True)
class Bar:
    name: str
    y: float
    segments: Sequence[Segment]
    end: float
    """x of its end."""
    seconds: float


@dataclass(frozen=True)
class Tick:
    x: float
    label: str


@dataclass(frozen=True)
class Plot:
    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    height: float
    parts: Sequence[str]
    """Those that can be seen."""
    width: float = WIDTH
    left: float = LEFT
    bar: float = BAR
    floor: float = 0.0
    """y of the axis."""


def seconds_by_part(metrics: Metrics) -> dict[str, float]:
    """All of a job's seconds; what the measured parts of an execution leave is `between`."""
    parts = {part: float(getattr(metrics, part)) for part in PARTS if part != "between"}
    inside = ("load", "encode", "sampling", "decode", "other", "upload")
    return parts | {"between": max(0.0, metrics.total - sum(parts[part] for part in inside))}


def plot(jobs: Mapping[str, Metrics]) -> Plot:
    """One bar a job, in the order given."""
    rows = {name: seconds_by_part(metrics) for name, metrics in jobs.items()}
    longest = max((sum(parts.values()) for parts in rows.values()), default=0.0) or 1.0
    step = _step(longest)
    count = int(longest / step) + 1
    scale = (WIDTH - LEFT - RIGHT) / max(longest, step)
    floor = TOP + ROW * len(rows)
    bars = [_bar(name, n, parts, scale) for n, (name, parts) in enumerate(rows.items())]
    seen = {each.part for bar in bars for each in bar.segments if each.width >= 0.5}
    return Plot(
        bars=bars,
        ticks=[Tick(LEFT + n * step * scale, f"{n * step:g} s") for n in range(count)],
        height=floor + 24,
        parts=[part for part in PARTS if part in seen],
        floor=floor,
    )


def _bar(name: str, row: int, parts: Mapping[str, float], scale: float) -> Bar:
    x, segments = LEFT, []
    for part, seconds in parts.items():
        width = seconds * scale
        digits = 0 if part in WHOLE_SECONDS else 2
        label = f"{seconds:.{digits}f}" if width >= LABEL_FROM else ""
        segments.append(Segment(part, seconds, x, width, label))
        x += width
    return Bar(name, TOP + row * ROW + (ROW - BAR) / 2, segments, x, sum(parts.values()))


def _step(longest: float) -> float:
    """Seconds between two ticks, so that there are four to ten."""
    step = 0.001
    for factor in (2, 2.5, 2) * 10:
        if longest / step <= 10:
            break
        step *= factor
    return step


def balanced(weights: Sequence[float], rows: int) -> list[int]:
    """Where to cut a sequence into rows so that the heaviest is as light as can be: 0 … len."""

    @cache
    def best(start: int, left: int) -> tuple[float, tuple[int, ...]]:
        if left <= 1:
            return sum(weights[start:]), (len(weights),)
        ways = (
            (max(sum(weights[start:cut]), rest[0]), (cut, *rest[1]))
            for cut in range(start + 1, len(weights) - left + 2)
            for rest in [best(cut, left - 1)]
        )
        return min(ways)

    return [0, *best(0, max(1, min(rows, len(weights))))[1]]

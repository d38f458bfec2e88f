"""Seconds by part, from the order in which ComfyUI says it runs nodes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import pairwise
from statistics import median
from typing import Final

from handlers.kinds.base import Timings


class Part(StrEnum):
    LOAD = "load"
    ENCODE = "encode"
    SAMPLING = "sampling"
    DECODE = "decode"
    OTHER = "other"


_PATTERNS: Final = (
    ("*Loader*", Part.LOAD),
    ("*TextEncode*", Part.ENCODE),
    ("*Conditioning*", Part.ENCODE),
    ("FluxGuidance", Part.ENCODE),
    ("FluxDisableGuidance", Part.ENCODE),
    ("VAEEncode*", Part.ENCODE),
    ("KSampler*", Part.SAMPLING),
    ("SamplerCustom*", Part.SAMPLING),
    ("VAEDecode*", Part.DECODE),
)


FEWEST_STEPS: Final = 3
"""From which on a first step can be told from the others."""


def part_of(node_class: str) -> Part:
    """By the name of the class; a class of no pattern is OTHER."""
    for pattern, part in _PATTERNS:
        if fnmatchcase(node_class, pattern):
            return part
    return Part.OTHER


def fold(marks: Iterable[tuple[float, str | None]], classes: Mapping[str, str]) -> Timings:
    """Give the seconds from each mark to the next to the node that ran meanwhile.

    A mark is (seconds, node id that began, or None for none). ComfyUI moves weights to the GPU when
    a node first uses them, so the first sampling of a model holds some of its loading.
    """
    seconds = dict.fromkeys(Part, 0.0)
    running: tuple[float, str | None] | None = None
    for at, node in marks:
        if running is not None:
            seconds[part_of(classes.get(running[1] or "", ""))] += at - running[0]
        running = (at, node)
    return Timings(**{part.value: spent for part, spent in seconds.items()})


def first_step_excess(marks: Sequence[float]) -> float:
    """Seconds that a sampler's first step took beyond the median of the others.

    `marks` are its start and the end of each step.
    """
    steps = [after - before for before, after in pairwise(marks)]
    if len(steps) < FEWEST_STEPS:
        return 0.0
    return max(0.0, steps[0] - median(steps[1:]))

"""What ComfyUI is told on its command line about the GPU that it has. Pure.

The flags of a route stand in routes.toml; these are added to them.
"""

from collections.abc import Iterable, Sequence

from config.tables import Gpu, WeightFile
from handlers.kinds.compatibility import rows, sets_of
from handlers.kinds.registry import KINDS

GIB = 2**30
ROOM_GIB = 8.0
"""Kept free beside weights: activations, the CUDA context, face models."""

MEMORY_FLAGS = frozenset(
    {"--gpu-only", "--highvram", "--normalvram", "--lowvram", "--novram", "--cpu"}
)
"""Of ComfyUI, which takes one of them at most."""


def kinds_on(route: str) -> tuple[str, ...]:
    """In the order of the registry, the route's main kind first."""
    return tuple(name for name, kind in KINDS.items() if kind.route == route)


def sets_on(route: str) -> tuple[str, ...]:
    """The sets of weights that a route's kinds use."""
    return sets_of(kinds_on(route))


def takes_loras(route: str) -> bool:
    """Whether a kind of the route does."""
    return any(row.takes_lora for kind in kinds_on(route) for row in rows(kind))


def memory_flags(
    gpu: Gpu | None,
    sets: Iterable[Sequence[WeightFile]],
    *,
    loras: bool,
    given: Sequence[str] = (),
) -> tuple[str, ...]:
    """What to add to `given`, the flags of routes.toml, for this GPU.

    `--gpu-only` keeps the originals of the layers that a LoRA changes on the GPU, where a switch
    takes 0.2 s instead of 9 s; Flux with T5 then takes 53 GB instead of 43 GB (measured on one
    H200, docs/decisions.md). Without LoRAs it gains 3 % and makes the first prompt slower, and on a
    card that is too small it fails: there, and where nothing is known, ComfyUI's own choice stands.
    """
    if not loras or gpu is None or gpu.memory_gib is None or MEMORY_FLAGS & {*given}:
        return ()
    needed = max((_resident_gib(files) for files in sets), default=None)
    if needed is None or needed + ROOM_GIB > gpu.memory_gib:
        return ()
    return ("--gpu-only",)


def _resident_gib(files: Sequence[WeightFile]) -> float:
    """Of one graph: all of its weights, and the largest once more as a LoRA's originals."""
    sizes = [float("inf") if file.bytes is None else file.bytes for file in files]
    return (sum(sizes) + max(sizes, default=0)) / GIB

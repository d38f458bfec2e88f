"""Which weights ComfyUI keeps from one prompt to the next.

By its own choice ComfyUI drops what a loader read as soon as a prompt does not name that loader,
however much room there is: a job of two graphs would read 35 GB anew each time. Under a route's
`--cache-ram 2 2` it does so once less than 2 GB of main memory are free, and begins with what the
prompt does not name. A loader that merely stands in a prompt, linked to nothing, is never run, and
what it read before is kept (seen on ComfyUI 0.8.0 and 0.33.0). So each prompt names the loaders of
earlier prompts too, as far as their weights fit on the card beside its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from workflows.graph import Graph
from workflows.loaders import Loader, loaders
from workflows.node_pack import Speed, at_speed

ROOM_BYTES = 3_000_000_000
"""Left on the card beside weights: 2.3 GB of activations of Flux at 1024 x 1024, 0.7 GB of context.
Below it ComfyUI moves weights to and fro."""

SHARE_IN_EIGHT_BITS = 15.2 / 23.8
"""Of Flux's file that lies on the card: modulations, embeddings and biases are kept in 16 bits.
Z-Image's share is smaller."""


def shares(speed: Speed) -> Mapping[str, float]:
    """By the class of a loader: the share of its file's bytes that lies on the card."""
    return {"UNETLoader": SHARE_IN_EIGHT_BITS} if speed is Speed.FP8 else {}


@dataclass(frozen=True)
class Choice:
    """What a prompt names beside its own loaders, and what it lets go."""

    kept: tuple[Loader, ...]
    evicted: tuple[Loader, ...]


def choose(
    needed: Sequence[Loader],
    earlier: Iterable[Loader],
    size_of: Callable[[Loader], int | None],
    capacity: int | None,
) -> Choice:
    """Which of the earlier loaders stay beside those that are needed now.

    `earlier` is in the order of preference, the latest used first; one that does not fit is passed
    over for those behind it. `capacity` is in bytes; None, and a size that is not known, keeps
    nothing that takes room.
    """
    others = [loader for loader in earlier if loader not in needed]
    sizes = [size_of(loader) for loader in needed]
    left = 0 if capacity is None or None in sizes else capacity - sum(filter(None, sizes))
    kept: list[Loader] = []
    for loader in others:
        size = size_of(loader)
        if size is not None and (size == 0 or size <= left):
            kept.append(loader)
            left -= size
    return Choice(tuple(kept), tuple(loader for loader in others if loader not in kept))


class Residency:
    """What one ComfyUI was made to read, and what it still holds of that."""

    def __init__(
        self,
        sizes: Mapping[str, int],
        capacity: int | None,
        shares: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """`sizes` are bytes by file name, `capacity` is what weights may take on the card; what
        `shares` names by class takes that share of its file."""
        self._sizes = sizes
        self._shares = shares
        self._capacity = capacity
        self._held: tuple[Loader, ...] = ()
        """The latest used first; the largest first among those of one prompt."""

    @classmethod
    def of_nothing(cls) -> "Residency":
        """Where nothing is known of the card: each prompt names its own loaders alone."""
        return cls({}, None)

    def choose(self, graph: Graph) -> Choice:
        """What the next prompt, of this graph, keeps and evicts. Counts as its use."""
        needed = loaders(graph)
        choice = choose(needed, self._held, self._size_of, self._capacity)
        ranked = sorted(needed, key=lambda loader: self._size_of(loader) or 0, reverse=True)
        self._held = (*ranked, *choice.kept)
        return choice

    def _size_of(self, loader: Loader) -> int | None:
        """Bytes; None where one of its files is of unknown size."""
        sizes = [self._sizes.get(file) for file in loader.files]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        return round(sum(known) * self._shares.get(loader.class_type, 1.0))


def beside(choice: Choice, graph: Graph, speed: Speed = Speed.STOCK) -> dict[str, dict[str, Any]]:
    """The kept loaders as nodes of ComfyUI's API format, under ids that the graph does not use."""
    taken = {node.id for node in graph}
    ids = (name for at in range(10_000) if (name := f"kept-{at}") not in taken)
    return {name: _api(loader, speed) for name, loader in zip(ids, choice.kept, strict=False)}


def _api(loader: Loader, speed: Speed) -> dict[str, Any]:
    """As this route's own graphs name it."""
    if speed is Speed.STOCK:
        return loader.api()
    class_type, inputs = at_speed(loader.class_type, dict(loader.inputs), speed)
    return {"class_type": class_type, "inputs": dict(inputs)}


def capacity(memory_bytes: int | None, reserved_bytes: int = 0) -> int | None:
    """Bytes that weights may take on a card of so much memory, of which some is left to others."""
    if memory_bytes is None:
        return None
    return max(0, memory_bytes - reserved_bytes - ROOM_BYTES)

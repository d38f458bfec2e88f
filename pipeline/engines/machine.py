"""Which routes the GPUs of a machine serve, by what fits, and how routes share one. Pure.

A GPU serves a route if the weights of one prompt of it fit there, with room to work. Where all that
a GPU serves fits beside each other, so it does; else as many as fit, and the others take turns
(card_places.py). What a GPU has beyond that, which no other could use, goes to the routes in their
order: it keeps the weights of other kinds.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from config.gpus import Gpu
from config.routes import Route
from pipeline.worker.card_needs import CardNeed

GIB = 2**30
MOST_COMBINED = 12
"""Workers of one GPU up to which all combinations are looked at: 4096."""


@dataclass(frozen=True)
class Card:
    """A GPU that workers may run on."""

    device: str
    """As CUDA_VISIBLE_DEVICES has it; empty where CUDA's first is taken."""
    memory: int | None = None
    """Bytes for workers; None where nobody knows, and then all fits."""
    gpu: Gpu | None = None
    """Its row of gpus.toml, where it has one."""

    @property
    def title(self) -> str:
        name = "" if self.gpu is None else f" ({self.gpu.name})"
        return f"GPU {self.device}{name}" if self.device else f"the GPU{name}"


NeedOf = Callable[[Route, Card], CardNeed]


@dataclass(frozen=True)
class Misfit:
    """A route that none of the machine's GPUs serves."""

    route: str
    need: int
    """Bytes that it takes."""
    of_main: bool
    """Of main memory, and not of a GPU."""
    there: int
    """Bytes that the machine has of it, on its largest GPU."""
    on: str
    in_eight_bits: int | None = None
    """Bytes that it would take of that GPU with `speed = "fp8"`, where that helps."""

    @property
    def message(self) -> str:
        memory = "main memory" if self.of_main else "a GPU"
        return (
            f"{self.route} is not served: it needs {_gib(self.need)} GiB of {memory},"
            f" and {self.on} has {_gib(self.there)} GiB"
        )

    @property
    def hint(self) -> str:
        """What to do about it."""
        larger = "more main memory" if self.of_main else "a larger GPU"
        fp8 = (
            ""
            if self.in_eight_bits is None
            else f', speed = "fp8" of the route in the file of RYLA_ROUTES_FILE'
            f" ({_gib(self.in_eight_bits)} GiB)"
        )
        return (
            f"Use {larger}{fp8}, or RYLA_FORCED_ROUTES={self.route}, with which its weights are"
            " moved to and fro for each picture."
        )


def _gib(bytes: int) -> str:
    return f"{bytes / GIB:.1f}"


@dataclass(frozen=True)
class ServingCard:
    card: Card
    shares: Mapping[str, int | None]
    """By route that it serves, bytes that a worker takes; None where nobody knows its memory."""

    def left_to_others(self, route: str, workers: int) -> int:
        """Bytes that others may take while a worker of this route is there."""
        share, memory = self.shares[route], self.card.memory
        if share is None or memory is None:
            return 0
        return _fullest(_beside(route, self.shares, workers), memory - share)

    @property
    def takes_turns(self) -> bool:
        """Whether its routes do not all fit beside each other."""
        known = [share for share in self.shares.values() if share is not None]
        return self.card.memory is not None and sum(known) > self.card.memory


@dataclass(frozen=True)
class Machine:
    cards: tuple[ServingCard, ...]
    workers: int = 1
    """Of each route, on each GPU that serves it."""
    misfits: tuple[Misfit, ...] = field(default=())

    @property
    def unserved(self) -> frozenset[str]:
        return frozenset(each.route for each in self.misfits)

    def most(self, route: str) -> int:
        """Workers that a route may have at a time."""
        return self.workers * sum(route in each.shares for each in self.cards)


def unbounded(devices: Sequence[str], routes: Sequence[str], workers: int) -> Machine:
    """A machine of whose memory nothing is known: each of its GPUs serves all routes."""
    shares: Mapping[str, int | None] = dict.fromkeys(routes)
    cards = tuple(ServingCard(Card(device), shares) for device in devices or ("",))
    return Machine(cards, workers)


def plan_machine(
    cards: Sequence[Card],
    main_memory: int | None,
    routes: Sequence[Route],
    need_of: NeedOf,
    *,
    fp8_of: NeedOf | None = None,
    forced: Collection[str] = (),
    workers: int = 1,
) -> Machine:
    """`fp8_of` says what a route would need in 8 bits, `main_memory` is in bytes, None where nobody
    knows. Forced routes are served by all GPUs."""
    misfits = [
        misfit
        for route in routes
        if route.name not in forced
        and (misfit := _misfit(route, cards, main_memory, need_of, fp8_of)) is not None
    ]
    out = {each.route for each in misfits}
    serving = []
    for card in cards:
        needs = {route.name: need_of(route, card) for route in routes if route.name not in out}
        fitting = {
            name: need for name, need in needs.items() if name in forced or _fits(need, card)
        }
        serving.append(ServingCard(card, shares_on(card, fitting, workers)))
    return Machine(tuple(serving), workers, tuple(misfits))


def _fits(need: CardNeed, card: Card) -> bool:
    return card.memory is None or need.least <= card.memory


def _misfit(
    route: Route,
    cards: Sequence[Card],
    main_memory: int | None,
    need_of: NeedOf,
    fp8_of: NeedOf | None,
) -> Misfit | None:
    needs = [need_of(route, card) for card in cards]
    if not any(_fits(need, card) for need, card in zip(needs, cards, strict=True)):
        largest = max(cards, key=lambda card: card.memory or 0)
        eight = fp8_of(route, largest).least if fp8_of else None
        there = largest.memory or 0
        helps = eight if eight is not None and eight <= there else None
        need = need_of(route, largest).least
        return Misfit(route.name, need, False, there, largest.title, helps)
    most = max((need.largest_file for need in needs), default=0)
    if main_memory is not None and most > main_memory:
        return Misfit(route.name, most, True, main_memory, "this machine")
    return None


def shares_on(
    card: Card, needs: Mapping[str, CardNeed], workers: int = 1
) -> Mapping[str, int | None]:
    """What a worker of each of these routes takes of the card: what it needs at least, and of the
    rest, in their order, what no others that fit beside it could take."""
    memory = card.memory
    if memory is None:
        return dict.fromkeys(needs)
    shares: dict[str, int | None] = {}
    shares |= {name: min(need.least, memory) for name, need in needs.items()}
    for name, need in needs.items():
        least = shares[name] or 0
        most = memory - _fullest(_beside(name, shares, workers), memory - least)
        shares[name] = max(least, min(need.most, most))
    return shares


def _beside(route: str, shares: Mapping[str, int | None], workers: int) -> list[int]:
    """The shares of all that may be beside one worker of a route."""
    return [
        share
        for name, share in shares.items()
        if share is not None
        for _ in range(workers - (name == route))
    ]


def _fullest(sizes: Sequence[int], room: int) -> int:
    """The most that some of these sizes together take of a room."""
    if len(sizes) >= MOST_COMBINED:
        return room
    sums = (sum(some) for n in range(len(sizes) + 1) for some in combinations(sizes, n))
    return max(each for each in sums if each <= room)

"""Which worker is on which GPU of this machine, and whose turn it is.

A worker takes its share of a GPU (machine.py) from before its start until it is gone. A route that
has no worker, and finds no room, is waited for: on the GPU where the fewest stand in its way, idle
workers of other routes leave at once, and those at work when they have been there for a turn and
end a job. Until it has come, nobody new takes that GPU. A route that has a worker only takes what
is free.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Condition

from pipeline.engines.machine import Machine, ServingCard

Key = tuple[str, int]
"""A route, and the number of one of its workers."""


@dataclass(frozen=True)
class Taken:
    """The place of a worker."""

    card: int
    share: int | None
    """Bytes; None where nobody knows the card's memory."""
    since: float
    """On the monotonic clock."""
    idle: bool = False


@dataclass(frozen=True)
class Wish:
    """Where a route without a worker is to come, and who stands in its way."""

    card: int
    leaving: frozenset[Key]


def free_card(
    route: str, machine: Machine, taken: Mapping[Key, Taken], reserved: Collection[int] = ()
) -> int | None:
    """The number of a card with room for one more worker: where its route has the fewest, then
    where the fewest are, then the smallest, which leaves the large ones to those that need them."""
    fit = [
        number
        for number, each in enumerate(machine.cards)
        if number not in reserved
        and route in each.shares
        and sum(1 for _ in _on(number, taken, route)) < machine.workers
        and _room(each, [place for _, place in _on(number, taken)]) >= (each.shares[route] or 0)
    ]

    def order(number: int) -> tuple[int, int, int, int]:
        there = [route for (route, _), _ in _on(number, taken)]
        return there.count(route), len(there), machine.cards[number].card.memory or 0, number

    return min(fit, key=order, default=None)


def wish(
    route: str,
    machine: Machine,
    taken: Mapping[Key, Taken],
    now: float,
    turn_s: float,
    reserved: Collection[int] = (),
) -> Wish | None:
    """Of a route without a worker that finds no free card. None where no card serves it."""
    wishes = [
        (*_way(route, each, dict(_on(number, taken)), now, turn_s), number)
        for number, each in enumerate(machine.cards)
        if route in each.shares and number not in reserved
    ]
    if not wishes:
        return None
    _, _, leaving, number = min(wishes, key=lambda each: (each[0], each[1], each[3]))
    return Wish(number, leaving)


def _way(
    route: str, card: ServingCard, there: Mapping[Key, Taken], now: float, turn_s: float
) -> tuple[int, int, frozenset[Key]]:
    """How many must end their turn first, how many must go at all, and which of them now."""

    def may_go(key: Key) -> bool:
        return there[key].idle or now - there[key].since >= turn_s

    left = dict(there)
    going: list[Key] = []
    for key in sorted(there, key=lambda key: (not may_go(key), there[key].since)):
        if _room(card, left.values()) >= (card.shares[route] or 0):
            break
        del left[key]
        going.append(key)
    now_going = frozenset(key for key in going if may_go(key))
    return len(going) - len(now_going), len(going), now_going


def _on(
    number: int, taken: Mapping[Key, Taken], route: str | None = None
) -> Iterator[tuple[Key, Taken]]:
    return (
        (key, place)
        for key, place in taken.items()
        if place.card == number and route in (None, key[0])
    )


def _room(card: ServingCard, there: Collection[Taken]) -> float:
    if card.card.memory is None:
        return float("inf")
    return card.card.memory - sum(place.share or 0 for place in there)


@dataclass
class CardPlaces:
    """Shared by all workers' threads of an engine, and so is its lock."""

    machine: Machine
    turn_s: float
    """How long a worker that others wait for goes on with the jobs of its route."""
    monotonic: Callable[[], float] = time.monotonic
    changed: Condition = field(default_factory=Condition)
    _taken: dict[Key, Taken] = field(default_factory=dict)
    _queue: list[Key] = field(default_factory=list)
    """Those that wait for a place, in order."""

    def enter(self, key: Key, wanted: Callable[[], bool]) -> ServingCard | None:
        """Wait for a place and take it; None once it is not `wanted` any more."""
        with self.changed:
            self._queue.append(key)
            self.changed.notify_all()  # somebody may have to go
            try:
                self.changed.wait_for(lambda: not wanted() or self._card_for(key) is not None)
                number = self._card_for(key) if wanted() else None
                if number is None:
                    return None
                card = self.machine.cards[number]
                self._taken[key] = Taken(number, card.shares[key[0]], self.monotonic())
                return card
            finally:
                self._queue.remove(key)
                self.changed.notify_all()

    def leave(self, key: Key) -> None:
        with self.changed:
            self._taken.pop(key, None)
            self.changed.notify_all()

    def set_idle(self, key: Key, *, idle: bool) -> None:
        """With the lock held."""
        place = self._taken.get(key)
        if place is not None and place.idle != idle:
            self._taken[key] = Taken(place.card, place.share, place.since, idle)
            if idle and self._queue:
                self.changed.notify_all()

    def must_leave(self, key: Key) -> bool:
        """With the lock held: whether this worker stands in the way of a route that has none."""
        return any(key in each.leaving for each in self._wishes())

    def _card_for(self, key: Key) -> int | None:
        before = self._queue[: self._queue.index(key)]
        reserved = {each.card for each in self._wishes(before, but=key[0])}
        return free_card(key[0], self.machine, self._taken, reserved)

    def _wishes(self, queue: Sequence[Key] | None = None, but: str | None = None) -> list[Wish]:
        """Of the routes that wait and have no worker; each has a card to itself, while there are
        enough."""
        found: list[Wish] = []
        waiting = dict.fromkeys(route for route, _ in (self._queue if queue is None else queue))
        present = {route for route, _ in self._taken}
        for route in waiting:
            if route in present or route == but:
                continue
            now, reserved = self.monotonic(), {each.card for each in found}
            free = free_card(route, self.machine, self._taken, reserved)
            its = (
                wish(route, self.machine, self._taken, now, self.turn_s, reserved)
                if free is None
                else Wish(free, frozenset())  # until its thread has taken it
            )
            if its is not None:
                found.append(its)
        return found

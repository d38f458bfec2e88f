"""Adds up what a long listing of spend/ says, its parts side by side.

A day of a million ended jobs is a thousand pages, and one page after the other takes a minute. So
whoever has listed a prefix remembers keys of it that lie some pages apart: its marks. The next look
lists what lies between two marks, for all of them at a time. Any keys cut a listing into parts that
hold each object once, so marks can be old, or a stranger's: then parts are of uneven length. They
stand under spend/marks/, for a process that has just started.
"""

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from pipeline.contract.spend_entry import MARKS, SPEND, SpendEntry
from pipeline.queue.ended_costs import EndedCosts
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore

PART = 10_000
"""Objects of a part, at least: ten pages."""
STRETCH = 10 * PART
"""Objects that are listed at most before marks are noted: what is killed then leaves them."""
MOST_MARKS = 1000
MOST_BYTES = 512 * 1024
"""Of marks. What is longer is not read."""


@dataclass
class _Part:
    """What lies above one mark, up to and with the next, or a stretch of that."""

    costs: EndedCosts
    until: str | None = None
    rest: str | None = None
    """The key after which the part goes on, where it is longer."""
    lists: int = 0
    objects: int = 0
    marks: list[str] = field(default_factory=list)
    """Keys that lie PART objects apart, but for the last."""

    def take(self, entries: Sequence[Entry]) -> None:
        self.lists += 1
        for entry in entries:
            if self.objects and self.objects % PART == 0:
                self.marks.append(entry.key)
            self.objects += 1
            found = SpendEntry.parse(entry.key)
            if found is not None:
                self.costs.add(found)

    @property
    def splits(self) -> list[str]:
        """Those of the marks by which no part is shorter than PART."""
        return self.marks[:-1] if self.rest is None else [*self.marks, self.rest]


@dataclass
class SpendParts:
    """Remembers the marks of each prefix; what is lost with it costs time alone."""

    _marks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _stored: dict[str, int] = field(default_factory=dict)
    """How many of them stand in the bucket, as far as it is known."""

    def read(
        self, store: SafeStore, prefix: str, pool: Executor, asked: frozenset[str]
    ) -> tuple[EndedCosts, int]:
        """What lies under it costs, and how many LISTs that took. Raises a StoreError."""
        page = store.list(prefix)
        head = _Part(EndedCosts(asked))
        head.take(page.entries)
        if not page.truncated:
            return head.costs, head.lists
        first = page.entries[-1].key
        marks = [mark for mark in self._known(store, prefix) if mark > first]
        parts, ends = [head], [*zip([first, *marks], [*marks, None], strict=True)]
        while ends:
            listed = [*pool.map(lambda each: _listed(store, prefix, each, asked), ends)]
            parts += listed
            self._remember(store, prefix, [mark for part in listed for mark in part.splits])
            ends = [(part.rest, part.until) for part in listed if part.rest is not None]
        costs = EndedCosts(asked)
        for part in parts:
            costs += part.costs
        return costs, sum(part.lists for part in parts)

    def forget_others(self, prefixes: Sequence[str]) -> None:
        """Keep what is known of these alone."""
        self._marks = {prefix: self._marks[prefix] for prefix in prefixes if prefix in self._marks}

    def _known(self, store: SafeStore, prefix: str) -> tuple[str, ...]:
        if prefix not in self._marks:
            stored = store.get(_marks_key(prefix), limit=MOST_BYTES)
            self._marks[prefix] = () if stored is None else _parsed(stored.body, prefix)
            self._stored[prefix] = len(self._marks[prefix])
        return self._marks[prefix]

    def _remember(self, store: SafeStore, prefix: str, new: Sequence[str]) -> None:
        """Written once there are twice as many: a few times a day."""
        marks = tuple(sorted({*self._marks[prefix], *new}))[:MOST_MARKS]
        self._marks[prefix] = marks
        if new and len(marks) >= 2 * self._stored[prefix]:
            store.write(_marks_key(prefix), json.dumps(marks).encode(), "application/json")
            self._stored[prefix] = len(marks)


def _listed(
    store: SafeStore, prefix: str, ends: tuple[str, str | None], asked: frozenset[str]
) -> _Part:
    after, until = ends
    part = _Part(EndedCosts(asked), until)
    while True:
        page = store.list(prefix, start_after=after)
        inside = [entry for entry in page.entries if until is None or entry.key <= until]
        part.take(inside)
        if not page.truncated or len(inside) < len(page.entries):
            return part
        after = inside[-1].key
        if part.objects >= STRETCH:
            part.rest = after
            return part


def _marks_key(prefix: str) -> str:
    """Of `spend/<day>/` and of `spend/<day>/<tenant>/`."""
    return f"{MARKS}{prefix.removeprefix(SPEND).strip('/').replace('/', '.')}.json"


def _parsed(body: bytes, prefix: str) -> tuple[str, ...]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    keys = {key for key in found if isinstance(key, str)} if isinstance(found, list) else set[str]()
    # A folder's name, without its slash, would have SeaweedFS pass over all that it holds.
    jobs = (key for key in keys if key.startswith(prefix) and SpendEntry.parse(key) is not None)
    return tuple(sorted(jobs))[:MOST_MARKS]

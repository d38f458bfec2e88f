"""What ended jobs have cost, added up. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Self

from pipeline.contract.spend_entry import SpendEntry

Payers = tuple[date, str | None, str | None, str | None]
"""Day, tenant, platform and batch: all that a budget goes by."""


@dataclass
class EndedCosts:
    """A few numbers, however many jobs."""

    asked: frozenset[str] = frozenset()
    """Ids of jobs of which it matters whether they have ended."""
    units: Counter[Payers] = field(default_factory=Counter)
    """Hundredths of a cent."""
    ended: set[str] = field(default_factory=set)
    """Those of `asked` that have."""

    def add(self, entry: SpendEntry) -> None:
        self.units[entry.day, entry.tenant, entry.platform, entry.batch] += entry.units
        if entry.id in self.asked:
            self.ended.add(entry.id)

    def noting(self, entries: Iterable[SpendEntry]) -> Iterator[SpendEntry]:
        """They pass through it."""
        for entry in entries:
            self.add(entry)
            yield entry

    def __iadd__(self, more: Self) -> Self:
        self.units.update(more.units)
        self.ended |= more.ended
        return self

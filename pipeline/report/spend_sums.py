"""Sums of what ended jobs have cost, by what their keys say. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.contract.spend_entry import SpendEntry
from pipeline.report.money import NOBODY

ALL = "all"
"""The name of the one row of the sum of all."""


@dataclass
class Sum:
    jobs: int = 0
    units: int = 0
    """Hundredths of a cent."""

    @property
    def usd(self) -> float:
        return self.units / 10_000


Sums = Mapping[str, Sequence[tuple[str, Sum]]]
"""By dimension, the dearest first."""


def sum_spend(entries: Iterable[SpendEntry]) -> Sums:
    """By tenant, platform, kind and batch, and of all. A job counts by each of its objects."""
    sums: dict[str, defaultdict[str, Sum]] = {
        name: defaultdict(Sum) for name in ("total", "tenant", "platform", "kind", "batch")
    }
    sums["total"][ALL] = Sum()
    for entry in entries:
        names = {
            "total": ALL,
            "tenant": entry.tenant or NOBODY,
            "platform": entry.platform or NOBODY,
            "kind": entry.kind or NOBODY,
            "batch": entry.batch,
        }
        for dimension, name in names.items():
            if name is not None:
                there = sums[dimension][name]
                there.jobs += 1
                there.units += entry.units
    return {
        dimension: sorted(rows.items(), key=lambda row: (-row[1].units, row[0]))
        for dimension, rows in sums.items()
        if rows
    }

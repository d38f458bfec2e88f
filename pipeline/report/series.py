"""Numbers of which mean and percentiles are told. Eight bytes each are kept."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any


@dataclass
class Series:
    values: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, value: float) -> None:
        self.values.append(value)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def sum(self) -> float:
        return sum(self.values)

    @property
    def mean(self) -> float | None:
        return self.sum / len(self) if self.values else None

    def percentile(self, percent: float) -> float | None:
        """The least of the values that so many percent (0 to 100) do not exceed. None without
        values."""
        return self.percentiles((percent,))[0]

    def percentiles(self, percents: Sequence[float]) -> list[float | None]:
        """By nearest rank, each from 0 to 100: of the ordered values the one numbered ceil(percent
        ÷ 100 · n), counted from 1. None without values."""
        if not self.values:
            return [None] * len(percents)
        ordered = sorted(self.values)
        return [ordered[max(ceil(each / 100 * len(ordered)), 1) - 1] for each in percents]

    def document(self) -> dict[str, Any]:
        p50, p95 = self.percentiles((50, 95))
        figures = {"mean": self.mean, "p50": p50, "p95": p95}
        return {"n": len(self), **{name: rounded(value) for name, value in figures.items()}}


def rounded(value: float | None) -> float | None:
    """To six decimals."""
    return None if value is None else round(value, 6)

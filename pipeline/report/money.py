"""What results cost, by day, tenant, kind and GPU. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from pipeline.contract.result import Result, Status
from pipeline.report.idle import IdleShares

NOBODY = "(none)"
"""Of a job that names no tenant or kind, or that reached no GPU."""


class By(StrEnum):
    DAY = "day"
    """Of the commit, in UTC."""
    TENANT = "tenant"
    KIND = "kind"
    GPU = "gpu"


@dataclass
class Money:
    """Sums over jobs, US dollars and seconds."""

    jobs: int = 0
    pictures: int = 0
    gpu_seconds: float = 0.0
    """Of executions that made a result, cold starts included."""
    usd: float = 0.0
    """Of the attempts that made the results, failed ones too."""
    cold_usd: float = 0.0
    """The share of `usd` that paid for cold starts."""
    lost_usd: float = 0.0
    """Of attempts that were lost or failed before those."""
    idle_usd: float = 0.0
    """The share of idle windows that is expected beside all that (pipeline.report.idle)."""
    upper_bounds: int = 0
    """Jobs whose lost attempts are counted until they were given up, not until they died."""
    ends: Counter[Status] = field(default_factory=Counter)

    @property
    def total_usd(self) -> float:
        """With lost attempts."""
        return self.usd + self.lost_usd

    @property
    def cold_share(self) -> float | None:
        """Of `usd`, from 0 to 1; None where nothing was paid."""
        return self.cold_usd / self.usd if self.usd else None

    def add(self, result: Result) -> None:
        self.jobs += 1
        self.ends[result.status] += 1
        self.pictures += len(result.own_outputs)
        if result.metrics is not None:
            self.gpu_seconds += result.metrics.gpu_seconds
        if result.cost is not None:
            cost = result.cost
            self.usd += cost.usd
            self.cold_usd += cost.cold_usd
            self.lost_usd += max(0.0, cost.total_usd - cost.usd)
            self.upper_bounds += cost.upper_bound

    def __add__(self, other: "Money") -> "Money":
        return Money(
            *(getattr(self, each.name) + getattr(other, each.name) for each in fields(self))
        )

    def document(self) -> dict[str, Any]:
        return {
            "jobs": self.jobs,
            **{status.value: self.ends[status] for status in Status},
            "pictures": self.pictures,
            "gpu_seconds": round(self.gpu_seconds, 3),
            "usd": round(self.usd, 6),
            "cold_usd": round(self.cold_usd, 6),
            "cold_share": None if self.cold_share is None else round(self.cold_share, 4),
            "lost_usd": round(self.lost_usd, 6),
            "idle_usd": round(self.idle_usd, 6),
            "upper_bounds": self.upper_bounds,
            "total_usd": round(self.total_usd, 6),
        }


@dataclass
class Ledger:
    """The same money, summed in each of four ways."""

    total: Money = field(default_factory=Money)
    by: Mapping[By, dict[str, Money]] = field(default_factory=lambda: {each: {} for each in By})
    """Without idle windows, whose shares are known at the end."""
    idle: IdleShares = field(default_factory=IdleShares)

    def add(self, result: Result) -> None:
        self.total.add(result)
        names = _names(result)
        self.idle.add(result, names.items())
        self.total.idle_usd = self.idle.total_usd
        for dimension, name in names.items():
            self.by[dimension].setdefault(name, Money()).add(result)

    def rows(self, dimension: By) -> list[tuple[str, Money]]:
        """Days in order, everything else by what it cost."""
        rows = [
            (name, replace(money, idle_usd=self.idle.usd(dimension, name)))
            for name, money in self.by[dimension].items()
        ]
        if dimension is By.DAY:
            return sorted(rows)
        return sorted(rows, key=lambda row: (-row[1].total_usd, -row[1].jobs, row[0]))

    def document(self) -> dict[str, Any]:
        parts = {
            f"by_{each}": {name: money.document() for name, money in self.rows(each)} for each in By
        }
        return {"total": self.total.document(), **parts}


def _names(result: Result) -> dict[By, str]:
    return {
        By.DAY: f"{result.finished_at:%Y-%m-%d}",
        By.TENANT: result.tenant or NOBODY,
        By.KIND: result.model or NOBODY,
        By.GPU: result.metrics.gpu if result.metrics else NOBODY,
    }

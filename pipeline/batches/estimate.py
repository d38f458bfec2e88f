"""What a batch will cost, and whether that is within its budget. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from config.errors import OverBudget
from pipeline.batches.rows import SheetRow


@dataclass(frozen=True)
class BatchEstimate:
    """For warm workers; a batch also pays for their starts. None where it is not known."""

    gpus: tuple[str, ...]
    usd: float | None
    """With one try of each view."""
    most_usd: float | None
    """With all tries, or with the rows' own `max_cost_usd`, at which a sheet stops."""

    @classmethod
    def of(cls, rows: Sequence[SheetRow]) -> "BatchEstimate":
        return cls(
            gpus=tuple(sorted({row.estimate.gpu for row in rows})),
            usd=_sum(row.estimate.usd for row in rows),
            most_usd=_sum(row.most_usd for row in rows),
        )

    @property
    def text(self) -> str:
        where = ", ".join(self.gpus)
        if self.usd is None:
            return f"none can be made on {where}"
        low = f"${self.usd:.4f} with one try of each view"
        high = "" if self.most_usd is None else f", ${self.most_usd:.4f} with all tries"
        return f"{low}{high}, warm, on {where}"

    def document(self) -> dict[str, Any]:
        return {"usd": self.usd, "most_usd": self.most_usd, "gpus": list(self.gpus)}


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = list(amounts)
    return None if None in known else sum(each or 0.0 for each in known)


def require_within_budget(estimate: BatchEstimate, budget_usd: float | None) -> None:
    """Raises OverBudget for what may cost more than the budget, all tries counted: while sheets are
    made, nothing holds the batch as a whole to it."""
    if budget_usd is None:
        return
    most = estimate.usd if estimate.most_usd is None else estimate.most_usd
    if most is None:
        raise OverBudget(
            f"no estimate can be made on {', '.join(estimate.gpus)}, so the budget of"
            f" ${budget_usd:g} cannot be kept",
            field="--budget-usd",
            value=budget_usd,
            hint="Leave --budget-usd out, or give the GPU's rates in RYLA_GPUS_FILE.",
        )
    if most <= budget_usd:
        return
    raise OverBudget(
        f"the estimate is {estimate.text}; the budget is ${budget_usd:g}",
        field="--budget-usd",
        value=budget_usd,
        hint=f"Nothing was sent. Allow ${most * 1.05 + 0.00005:.4f}, send fewer rows, views or"
        " attempts_per_view, or give rows a max_cost_usd.",
    )

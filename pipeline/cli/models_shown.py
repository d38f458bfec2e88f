"""What `ryla models` answers, as data and in words."""

from typing import Any

from config.tables import WeightFile
from pipeline.models.files import State
from pipeline.models.pull import Pulled
from pipeline.models.sets import Plan
from pipeline.models.verify import Verdict


def planned(
    sets: tuple[str, ...], plan: Plan, to_come: list[WeightFile], free_gib: float
) -> dict[str, Any]:
    return {
        "sets": sets,
        "files": [each.name for each in plan.files],
        "bytes": plan.bytes,
        "bytes_to_come": sum(each.bytes or 0 for each in to_come),
        "length_unknown": plan.unknown,
        "usd_per_month": round(plan.usd_per_month, 2),
        "usd_per_month_beyond_free": round(plan.usd_per_month_beyond_free, 2),
        "free_gib": free_gib,
    }


def verdict(each: Verdict) -> dict[str, Any]:
    return {
        "name": each.local.weight.name,
        "path": each.local.path,
        "state": each.local.state,
        "why": each.local.why,
        "disagreement": each.disagreement,
        "learned": each.learned,
    }


def pulled(each: Pulled) -> dict[str, Any]:
    return {
        "name": each.weight.name,
        "path": each.path,
        "bytes": each.bytes,
        "sha256": each.sha256,
        "resumed_at": each.resumed_at,
        "seconds": round(each.seconds, 2),
    }


def said(each: Verdict) -> str:
    parts = [each.local.why, each.disagreement]
    if each.local.state is State.UNPROVEN:
        parts.append(f"sha256 {each.local.sha256}, and nothing to hold it against")
    return "; ".join(part for part in parts if part)


def commercial(row: dict[str, Any]) -> str:
    if row["commercial_use"]:
        return "yes"
    return "by agreement" if row["licence_note"] else "no"


def gb(bytes: int | None) -> str:
    return "?" if bytes is None else f"{bytes / 1e9:.2f}"

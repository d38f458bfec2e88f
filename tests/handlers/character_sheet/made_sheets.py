"""Sheets as they stand when they end, made up: records of every view, and looks of the pictures."""

import math
from collections.abc import Mapping
from typing import Any

from config.models import load_models
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.likeness import Look, SheetLooks
from handlers.character_sheet.planner import plan_sheet
from handlers.character_sheet.records import (
    AnyRecord,
    Choice,
    Composition,
    Picture,
    RecordedScore,
    SheetRecords,
    Try,
)
from handlers.character_sheet.sheet_document import SheetDocument
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan
from handlers.character_sheet.verdict import judge_sheet
from handlers.faces.match import Baseline

MODELS = load_models(None)
SAME, STRANGERS = 0.8, 0.0


def planned(request: CharacterSheetInput) -> SheetPlan:
    return plan_sheet(request, "job-1", MODELS)


def made(
    plan: SheetPlan,
    matches: Mapping[str, float] | None = None,
    missing: Mapping[str, str] | None = None,
    tries: Mapping[str, int] | None = None,
    profile_match: float | None = None,
) -> SheetRecords:
    """Every view chosen with match 0.9, but as `matches` says by a view's id, and those from the
    side as `profile_match`; `missing` says the fault of one that is not there."""
    records: list[AnyRecord] = []
    for view in plan.views:
        count = (tries or {}).get(view.id, 1)
        fault = (missing or {}).get(view.id)
        score = (matches or {}).get(view.id, 0.9)
        for k in range(1, count + 1):
            last = k == count
            wrong = fault if last else "wrong_yaw"
            records.append(_picture(view, k, score, wrong, profile_match))
        of = "c" if view.making is Making.COMPOSED else "t"
        records.append(Choice(number=view.nn, view=view.id, k=count, of=of, fault=fault))
    return SheetRecords.of(records)


def _picture(
    view: PlannedView, k: int, match: float, fault: str | None, profile_match: float | None
) -> Composition | Try:
    common: dict[str, Any] = {
        "number": view.nn,
        "view": view.id,
        "k": k,
        "seed": view.seeds[0],
        "picture": Picture(
            key=f"jobs/job-1/out/a1/{view.name}.png",
            bytes=10,
            sha256=f"{view.nn:064x}",
            width=view.width,
            height=view.height,
            content_type="image/png",
        ),
        "seconds": 2.0,
        "fault": fault,
        "measured": {} if view.head else None,
    }
    if view.making is Making.COMPOSED:
        return Composition(**common)
    profile = abs(view.head.yaw) > 45 if view.head else False
    score = RecordedScore(
        similarity=match * SAME,
        match=profile_match if profile else match,
        same_mean=SAME,
        strangers_mean=STRANGERS,
        embedder="test",
        faces_found=1,
        reason="profile" if profile else None,
    )
    return Try(**common, score=score)


def judged(
    plan: SheetPlan,
    records: SheetRecords,
    looks: Mapping[int, Look],
    *,
    embedder: str | None = None,
    baseline: Baseline | None = None,
    **said: Any,
) -> SheetDocument:
    return judge_sheet(plan, records, SheetLooks(looks, embedder, baseline), **said)


def looks(plan: SheetPlan, apart: Mapping[str, float] | None = None) -> dict[int, Look]:
    """Faces of one person; `apart` turns the one of a view by so many degrees from all others,
    whose similarities are cosines. No two pictures look the same."""
    return {
        view.nn: Look(
            sha256=f"{view.nn:064x}",
            bits=_bits(view.nn),
            embedding=None if view.head is None else _face((apart or {}).get(view.id, 0.0)),
            yaw=view.head.yaw if view.head else 0.0,
            side=0 if view.head is None else 120,
        )
        for view in plan.views
    }


def _face(degrees: float) -> tuple[float, ...]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def _bits(number: int) -> int:
    """At least eight places from any other's."""
    return sum(0xFF << 8 * byte for byte in range(8) if number >> byte & 1)

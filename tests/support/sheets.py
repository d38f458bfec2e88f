"""Character sheets for tests: plans, and a maker that needs no ComfyUI."""

from collections.abc import Sequence
from typing import Any

from handlers.character_sheet.combinations import Making, ScoredAgainst
from handlers.character_sheet.plan import (
    PlannedHead,
    PlannedIdentity,
    PlannedSampling,
    PlannedView,
    PlannedWeight,
    SheetPlan,
    Thresholds,
)
from handlers.faces.view import Framing


def planned_view(number: int, making: Making = Making.FACE_PASS, **changes: Any) -> PlannedView:
    fields = {
        "nn": number,
        "id": f"v{number}",
        "head": None if making is Making.COMPOSED else PlannedHead(),
        "framing": Framing.CLOSE_UP,
        "prompt": "a person",
        "negative_prompt": "",
        "caption": "a person",
        "seeds": tuple(range(number * 10, number * 10 + 8)),
        "width": 512,
        "height": 512,
        "making": making,
    }
    return PlannedView.model_validate({**fields, **changes})


def sheet_plan(
    makings: Sequence[Making] = (Making.FACE_PASS, Making.FACE_PASS),
    attempts: int = 3,
    **changes: Any,
) -> SheetPlan:
    fields = {
        "job_id": "sheet",
        "name": "Ann",
        "base": "flux-dev",
        "making": makings[0],
        "composition_weights": {"checkpoint": PlannedWeight(file="base.safetensors")},
        "sampling": PlannedSampling(steps=2),
        "identity": PlannedIdentity(strength=0.8, controlnet_strength=0.65),
        "views": tuple(planned_view(at, making) for at, making in enumerate(makings, 1)),
        "thresholds": Thresholds(),
        "attempts_per_view": attempts,
        "min_views": 1,
        "scored_against": ScoredAgainst.REFERENCES,
    }
    return SheetPlan.model_validate({**fields, **changes})

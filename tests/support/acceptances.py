"""Plans of an acceptance, and outcomes made without a job."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from events.catalogue import (
    Common,
    FaceConsistencyMeasured,
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    LoraLoaded,
    ModelLoaded,
    RequestProperties,
)
from events.stored_event import StoredEvent, stored
from pipeline.acceptance.acceptance_plan import Plan, PlanFile
from pipeline.acceptance.criteria.criterion import Outcome
from pipeline.acceptance.jobs import Job, Stage
from pipeline.contract.result import ColdParts, Metrics, Result, Status
from tests.support.report_results import NO_PARTS, NOON, result

SMALL = {"width": 256, "height": 256, "steps": 1}


def plan(**changes: Any) -> Plan:
    flux = {"prompts": ["a cat", "a dog"], "pictures": 3, "input": SMALL}
    return Plan.model_validate({"name": "first", "flux": flux, **changes})


def plan_file(folder: Path, **changes: Any) -> PlanFile:
    return PlanFile(folder, plan(**changes))


def outcome(
    id: str = "first-flux-dev-01",
    stage: Stage = Stage.FLUX,
    model: str = "flux-dev",
    subject: str = "",
    *,
    engine: str = "modal",
    events: Sequence[StoredEvent] | None = None,
    **of_result: Any,
) -> Outcome:
    """Of a job that ended with the events that it owes."""
    made: Result = result(id, model=model, **of_result)
    owed = tuple(owes(made, engine)) if events is None else tuple(events)
    return Outcome(Job(id, stage, model, {}, subject), made.model_copy(update={"events": owed}))


def unfinished(id: str, stage: Stage = Stage.FLUX, why: str = "still running") -> Outcome:
    return Outcome(Job(id, stage, "flux-dev"), None, why)


def owes(made: Result, engine: str = "modal") -> list[StoredEvent]:
    ended: Any = (
        GenerationCompleted(request=RequestProperties(), generation_time_ms=1, outputs=1)
        if made.status is Status.SUCCEEDED
        else GenerationFailed(
            request=RequestProperties(),
            error_type="model_error",
            refused=made.status is Status.REJECTED,
        )
    )
    found = [event(GenerationRequested(request=RequestProperties()), made.model, engine)]
    if made.model == "flux-lora" and made.status is Status.SUCCEEDED:
        found.append(lora_loaded())
    if str(made.model).endswith("-instantid"):
        measured = FaceConsistencyMeasured(consistency_score=None, output=0)
        found.append(event(measured, made.model, engine))
    return [*found, event(ended, made.model, engine)]


def event(of: Any, kind: str | None = "flux-dev", engine: str = "modal") -> StoredEvent:
    common = Common(kind=kind, environment="test", engine=engine, app_version="1")
    return stored(of, common, subject="job", at=NOON)


def lora_loaded(sha256: str = "0" * 64, *, cached: bool = False) -> StoredEvent:
    loaded = LoraLoaded(
        lora_file="loras/a.safetensors",
        sha256=sha256,
        lora_size_mb=1,
        load_time_ms=1,
        cached=cached,
    )
    return event(loaded, "flux-lora")


def model_loaded(source: str = "volume") -> StoredEvent:
    return event(ModelLoaded(model_name="flux-dev", load_time_ms=1, source=source))


def metrics(seconds: float = 10.0, *, cold: float = 0.0, gpu: str = "L40S") -> Metrics:
    parts = ColdParts(
        container=1,
        imports=2,
        comfyui=3,
        weights=4,
        first_step=5,
        read_ahead=6,
        read_ahead_bytes=7,
    )
    return Metrics(
        **NO_PARTS,
        queue=1,
        claim=2,
        start=cold,
        total=seconds,
        gpu=gpu,
        gpu_seconds=seconds + cold,
        cold=cold > 0,
        cold_parts=parts if cold else None,
    )

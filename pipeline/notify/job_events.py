"""The events of one job, made from what is known of it at its moments."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from config.errors import BadManifest, LoraError
from events.catalogue import (
    Common,
    FaceConsistencyMeasured,
    GenerationCompleted,
    GenerationRequested,
    LoraLoaded,
    LoraLoadFailed,
    ManifestRejected,
    ModelLoaded,
)
from events.job_properties import error_type, request_properties
from events.moments import Moment, ending, event_for
from events.stored_event import StoredEvent, stored
from handlers.character_sheet.records import Composition, RecordedScore, Try
from handlers.comfyui.info import ComfyInfo
from handlers.faces.match import Reason, Score
from handlers.faces.measurement import FaceMeasurement, FaceTry
from handlers.faces.view import ViewVerdict
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.keys import INBOX
from pipeline.contract.result import JobCost, Metrics
from pipeline.contract.summary import Subject, short_text, subject
from pipeline.models.loads import LoadedModel
from pipeline.runtime import RuntimeConfig


@dataclass(frozen=True)
class Origin:
    """Where events come from; the same for a whole process."""

    environment: str
    engine: str
    """The platform, or `standin` where no model draws."""
    app_version: str

    @classmethod
    def of(cls, runtime: RuntimeConfig, comfy: ComfyInfo | None = None) -> "Origin":
        """`comfy` is what runs the graphs, where that is known: pictures that no model made
        must never be counted as pictures."""
        settings = runtime.settings
        engine = runtime.platform
        if comfy is not None and not comfy.is_comfyui:
            engine = comfy.engine
        return cls(settings.environment, engine, settings.app_version)


@dataclass(frozen=True)
class LoadedLora:
    """How an execution came by its LoRA."""

    key: str
    """In the bucket."""
    sha256: str
    bytes: int
    seconds: float
    """To find or to pull it."""
    downloaded: bool
    attempt: int


def requested(about: Subject, origin: Origin) -> tuple[StoredEvent, ...]:
    """At adoption; dated with the writing of the manifest, the same in every attempt."""
    if event_for(Moment.ADOPTED, about.kind) is None:
        return ()
    event = GenerationRequested(request=request_properties(about.kind, about.input))
    return (_stored(event, about, origin, at=about.submitted_at),)


def completed(
    about: Subject,
    origin: Origin,
    *,
    attempt: int,
    metrics: Metrics | None,
    cost: JobCost,
    outputs: int,
    at: datetime,
    seconds: float = 0.0,
) -> StoredEvent:
    """Of a job that succeeded; `at` is the store's clock. `metrics` are of the execution that ended
    it; where none did, the making took `seconds`."""
    event = GenerationCompleted(
        request=request_properties(about.kind, about.input),
        generation_time_ms=round((metrics.total if metrics else seconds) * 1000),
        queue_time_ms=round((metrics.queue + metrics.claim) * 1000) if metrics else None,
        cold_start_ms=round(metrics.start * 1000) if metrics else None,
        outputs=outputs,
        cold_start=metrics.cold if metrics else None,
    )
    facts: dict[str, Any] = {"cost_usd": cost.usd}
    if metrics is not None:
        facts |= {"gpu_type": metrics.gpu, "duration": metrics.total}
    return _stored(event, about, origin, at=at, attempt=attempt, **facts)


def ended(
    about: Subject,
    origin: Origin,
    moment: Moment,
    *,
    attempt: int,
    at: datetime,
    error: ErrorInfo | None = None,
    **facts: Any,
) -> StoredEvent:
    """Of a job that failed, was refused or cancelled. `facts` are further fields of Common."""
    event = ending(
        moment,
        about.kind,
        request_properties(about.kind, about.input),
        entry=about.entry.removeprefix(INBOX),
        error_code=error.code if error else None,
        field=error.field if error else None,
    )
    code = error.code if error else None
    return _stored(event, about, origin, at=at, attempt=attempt, error_code=code, **facts)


def lora_loaded(about: Subject, origin: Origin, lora: LoadedLora, at: datetime) -> StoredEvent:
    event = LoraLoaded(
        lora_id=short_text(about.input.get("lora_id")),
        lora_file=lora.key,
        sha256=lora.sha256,
        lora_size_mb=round(lora.bytes / 1e6, 3),
        load_time_ms=round(lora.seconds * 1000) if lora.downloaded else 0,
        cached=not lora.downloaded,
    )
    return _stored(event, about, origin, at=at, attempt=lora.attempt)


def lora_load_failed(
    about: Subject, origin: Origin, error: LoraError, *, attempt: int, at: datetime
) -> StoredEvent:
    event = LoraLoadFailed(
        lora_id=short_text(about.input.get("lora_id")),
        lora_file=error.key or short_text(about.input.get("lora_name")),
        sha256=error.sha256,
        lora_size_mb=None if error.bytes is None else round(error.bytes / 1e6, 3),
        load_time_ms=None if error.seconds is None else round(error.seconds * 1000),
        error_type=error_type(error.code),
        reason=error.message,
    )
    return _stored(event, about, origin, at=at, attempt=attempt, error_code=error.code)


def model_loaded(
    about: Subject, origin: Origin, model: LoadedModel, *, attempt: int, at: datetime
) -> StoredEvent:
    event = ModelLoaded(
        model_name=model.name,
        model_size_mb=None if model.bytes is None else round(model.bytes / 1e6, 3),
        load_time_ms=round(model.seconds * 1000),
        source=model.source,
    )
    return _stored(event, about, origin, at=at, attempt=attempt)


def face_measured(
    about: Subject,
    origin: Origin,
    report: FaceMeasurement,
    *,
    output: int,
    attempt: int,
    at: datetime,
) -> list[StoredEvent]:
    """One for each try of an output; one without numbers for an output that has no face."""
    tries = report.tries or [FaceTry(Score(None, reason=Reason.NO_FACE), None, 0, 0.0)]
    events = []
    for number, one in enumerate(tries):
        score = one.score
        event = FaceConsistencyMeasured(
            consistency_score=score.match,
            similarity=score.similarity,
            baseline=score.baseline.same_mean if score.baseline else None,
            strangers_baseline=score.baseline.strangers_mean if score.baseline else None,
            embedder=score.embedder,
            embedder_sha256=score.embedder_sha256,
            faces_found=score.faces_found,
            reason=score.reason,
            output=output,
            gate_try=number,
            kept=number == report.kept,
            generation_time_ms=round(one.seconds * 1000) if report.tries else None,
            **({} if one.view is None else _judged(one.view)),
        )
        events.append(_stored(event, about, origin, at=at, attempt=attempt))
    return events


def _judged(view: ViewVerdict) -> dict[str, Any]:
    """The fields of a face event that speak of its view."""
    asked = {} if view.asked.head is None else asdict(view.asked.head)
    measured = {} if view.measured is None else asdict(view.measured)
    return {
        "view_ok": view.ok,
        "view_reason": view.reason,
        **_angles("asked", asked | {"framing": view.asked.framing}),
        **_angles("measured", measured | {"framing": view.framing}),
    }


def _angles(name: str, of: Mapping[str, Any]) -> dict[str, Any]:
    """Degrees to a tenth, and the framing."""
    angles = {each: of.get(each) for each in ("yaw", "pitch", "roll")}
    return {
        **{f"{name}_{each}": None if at is None else round(at, 1) for each, at in angles.items()},
        f"{name}_framing": of.get("framing"),
    }


def view_measured(
    about: Subject, origin: Origin, made: Composition | Try, *, kept: bool, at: datetime
) -> StoredEvent:
    """Of one picture of a character sheet, told from its record alone: whoever tells of it, and
    however often, tells the same. `at` is for records that know no time."""
    score = made.score if isinstance(made, Try) else RecordedScore(reason=made.reason)
    event = FaceConsistencyMeasured(
        consistency_score=None if score.reason == Reason.PROFILE else score.match,
        similarity=score.similarity,
        baseline=score.same_mean,
        strangers_baseline=score.strangers_mean,
        embedder=score.embedder,
        faces_found=score.faces_found,
        reason=score.reason,
        output=made.number - 1,
        view=made.view,
        gate_try=made.k - 1,
        kept=kept,
        generation_time_ms=round(made.seconds * 1000),
        view_ok=made.view_ok,
        view_reason=made.reason,
        **_angles("asked", made.asked or {}),
        **_angles("measured", made.measured or {}),
    )
    real = made.engine in ("", "comfyui")
    drawn = origin if real else replace(origin, engine=made.engine)
    return _stored(event, about, drawn, at=made.at or at, attempt=made.attempt)


def entry_rejected(
    entry: str, target: str, body: bytes, error: BadManifest, origin: Origin, at: datetime
) -> StoredEvent:
    """Of an inbox entry that cannot have a result."""
    name = entry.removeprefix(INBOX)
    about = subject(name, entry, at, body)
    event = ManifestRejected(entry=name, manifest_bytes=len(body), field=error.field)
    common = Common(kind=None, tenant=about.tenant, error_code=error.code, **_origin(origin))
    # Two bodies of one id are two rejections: the key under rejected/ tells them apart.
    return stored(event, common, subject=target, at=at, distinct_id=about.distinct_id)


def _stored(
    event: Any, about: Subject, origin: Origin, *, at: datetime, **facts: Any
) -> StoredEvent:
    common = Common(kind=about.kind, tenant=about.tenant, **_origin(origin), **facts)
    return stored(event, common, subject=about.id, at=at, distinct_id=about.distinct_id)


def _origin(origin: Origin) -> dict[str, str]:
    return {
        "environment": origin.environment,
        "engine": origin.engine,
        "app_version": origin.app_version,
    }

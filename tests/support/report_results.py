"""Results as reports read them, made without a job."""

from datetime import UTC, datetime, timedelta
from typing import Any

from events.catalogue import Common, LoraLoaded, LoraLoadFailed
from events.stored_event import StoredEvent, stored
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.result import (
    JobCost,
    Metrics,
    Output,
    OutputFace,
    Provenance,
    Region,
    Result,
    Status,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NO_PARTS = {"load": 0, "encode": 0, "sampling": 0, "decode": 0, "other": 0, "upload": 0}


def result(
    id: str = "job",
    *,
    status: Status = Status.SUCCEEDED,
    pictures: int = 1,
    seconds: float = 10.0,
    waited: float = 0.0,
    cold: float = 0.0,
    usd: float = 0.01,
    cold_usd: float = 0.0,
    lost_usd: float = 0.0,
    gpu: str = "L40S",
    engine: str | None = "comfyui",
    error: str | None = None,
    outputs: tuple[Output, ...] | None = None,
    **more: Any,
) -> Result:
    made = status is Status.SUCCEEDED
    ran = engine is not None
    values: dict[str, Any] = {
        "id": id,
        "status": status,
        "model": "flux-dev",
        "tenant": "acme",
        "attempt": 1,
        "nonce": "n",
        "manifest_sha256": "0" * 64,
        "finished_at": NOON,
        "outputs": (outputs or (output(),) * pictures) if made else (),
        "metrics": _metrics(seconds, waited, cold, gpu) if ran else None,
        "cost": JobCost(
            usd=usd, cold_usd=cold_usd, total_usd=usd + lost_usd, upper_bound=lost_usd > 0
        )
        if ran
        else None,
        "provenance": Provenance(engine=engine, app_version="1") if engine else None,
        "error": ErrorInfo(code=error, message=error) if error else None,
    }
    return Result(**{**values, **more})


def refused(id: str = "refused", code: str = "unknown_field") -> Result:
    return result(id, status=Status.REJECTED, engine=None, error=code)


def _metrics(seconds: float, waited: float, cold: float, gpu: str) -> Metrics:
    return Metrics(
        **NO_PARTS,
        queue=waited,
        claim=0,
        start=cold,
        total=seconds,
        gpu=gpu,
        gpu_seconds=seconds + cold,
        cold=cold > 0,
    )


def output(
    match: float | None = None,
    *,
    face: bool = False,
    face_reason: str | None = None,
    profile: bool = False,
) -> Output:
    """`face` without a match is one without a baseline."""
    measured = None
    if face or match is not None:
        measured = OutputFace(
            similarity=0.5,
            match=match,
            reason="profile" if profile else None if match is not None else "baseline_unknown",
            embedder="auraface",
            faces_found=1,
            box=Region(x=0, y=0, width=1, height=1),
            seed=1,
        )
    return Output(
        key="k",
        bytes=1,
        sha256="0" * 64,
        width=8,
        height=8,
        content_type="image/png",
        seed=1,
        face=measured,
        face_reason=face_reason,
    )


def lora_event(loaded: bool) -> StoredEvent:
    event: Any = (
        LoraLoaded(
            lora_file="loras/a.safetensors",
            sha256="0" * 64,
            lora_size_mb=1,
            load_time_ms=1,
            cached=False,
        )
        if loaded
        else LoraLoadFailed(error_type="model_error", reason="no such file")
    )
    common = Common(kind="flux-lora", environment="test", engine="local", app_version="1")
    return stored(event, common, subject="job", at=NOON, distinct_id=None)


def event_of(platform: str) -> StoredEvent:
    """One that says where the job ran; empty for nothing of that."""
    said: dict[str, Any] = {"engine": platform} if platform else {}
    return StoredEvent(event="e", uuid="u", distinct_id="d", timestamp="t", properties=said)


def days_ago(days: float) -> datetime:
    return NOON - timedelta(days=days)

"""Which event tells of which moment of which kind."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from events.catalogue import (
    STEMS,
    AppDeployed,
    BudgetReached,
    Event,
    FaceConsistencyMeasured,
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationRequested,
    LoraLoaded,
    LoraLoadFailed,
    ManifestRejected,
    ModelLoaded,
    RequestProperties,
)
from events.job_properties import error_type


class Moment(StrEnum):
    ADOPTED = "adopted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    LORA_LOADED = "lora_loaded"
    LORA_LOAD_FAILED = "lora_load_failed"
    FACE_MEASURED = "face_measured"
    MODEL_LOADED = "model_loaded"
    REJECTED = "rejected"
    DEPLOYED = "deployed"
    BUDGET_REACHED = "budget_reached"


TABLE: Mapping[Moment, type[Event]] = MappingProxyType(
    {
        Moment.ADOPTED: GenerationRequested,
        Moment.SUCCEEDED: GenerationCompleted,
        Moment.FAILED: GenerationFailed,
        Moment.REFUSED: GenerationFailed,
        Moment.CANCELLED: GenerationCancelled,
        Moment.LORA_LOADED: LoraLoaded,
        Moment.LORA_LOAD_FAILED: LoraLoadFailed,
        Moment.FACE_MEASURED: FaceConsistencyMeasured,
        Moment.MODEL_LOADED: ModelLoaded,
        Moment.REJECTED: ManifestRejected,
        Moment.DEPLOYED: AppDeployed,
        Moment.BUDGET_REACHED: BudgetReached,
    }
)
"""Moment → event, for a job of a known kind."""


def event_for(moment: Moment, kind: str | None) -> type[Event] | None:
    """The event of this moment. `kind` is what the manifest names, or None if it cannot be read.

    A job of no known kind has one event, its rejection; None says that this moment has none.
    """
    event = TABLE[moment]
    if kind in STEMS or not event.per_kind():
        return event
    return None if moment is Moment.ADOPTED else ManifestRejected


def ending(
    moment: Moment,
    kind: str | None,
    request: RequestProperties,
    *,
    entry: str,
    error_code: str | None = None,
    field: str | None = None,
) -> Event:
    """The event of a job that ends without success (failed, refused, cancelled or rejected).

    `entry` is its name in the inbox, for a manifest of no known kind. Raises ValueError for any
    other moment.
    """
    event = event_for(moment, kind)
    if event is ManifestRejected:
        return ManifestRejected(entry=entry, field=field)
    if event is GenerationCancelled:
        return GenerationCancelled(request=request)
    if event is GenerationFailed:
        refused = moment is Moment.REFUSED
        return GenerationFailed(request=request, error_type=error_type(error_code), refused=refused)
    raise ValueError(f"{moment} is no end without success")

"""Every event that is sent, one type each. docs/events.md is generated from here.

An event holds only what is its own; the properties that every event carries are `Common`, and the
stored_event puts the two together. Prompts never go into an event, only their length.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

MAX_TEXT = 1024
"""Characters kept of a text property: with about 30 properties, an event stays far below the
900 KiB above which PostHog's SDK and server drop it."""

STEMS: Mapping[str, str] = MappingProxyType(
    {
        "flux-dev": "flux_dev",
        "flux-schnell": "flux_schnell",
        "flux-lora": "lora",
        "flux-instantid": "instantid",
        "sdxl-instantid": "instantid",
        "z-image-turbo": "z_image_turbo",
        "character-sheet": "character_sheet",
        "workflow": "workflow",
        "wan-t2v": "wan_t2v",
        "seedvr2": "seedvr2",
        "flux-fill": "flux_fill",
    }
)
"""Kind → the stem of its events' names. A kind that is not here has no events of its own."""


def _clean(value: object) -> object:
    """Short, and encodable: half a surrogate pair gets a whole batch refused."""
    if not isinstance(value, str):
        return value
    return value[:MAX_TEXT].encode("utf-8", "replace").decode()


Text = Annotated[str, BeforeValidator(_clean)]
ErrorType = Literal["timeout", "model_error", "workflow_error"]


class Scope(StrEnum):
    """What an event happens once per, and so what its uuid is made of."""

    REQUEST = "request"
    """Once per job, and the same event whichever attempt tells of it."""
    END = "end"
    """Once per job: its result."""
    ATTEMPT = "attempt"
    """Once per execution, and per value of the fields that tell its occurrences apart."""


class Properties(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )


class Common(Properties):
    """On every event; null where unknown or not yet."""

    kind: Text | None
    """As in the manifest's `model`."""
    environment: Text
    """The deployment, such as `production` or `local`."""
    engine: Text
    """What ran it: `modal`, `local`, or `standin` where pictures are not real."""
    app_version: Text
    attempt: int | None = None
    """From 1; on `requested` always 1."""
    tenant: Text | None = None
    gpu_type: Text | None = None
    duration: float | None = None
    """Seconds from the start of the attempt to its end."""
    cost_usd: float | None = None
    error_code: Text | None = None
    """Of the error tree, such as `out_of_memory`."""


class RequestProperties(Properties):
    """What the job asked for, as far as it can be read."""

    workflow_type: Text | None = None
    """The kind, under the name that was planned first."""
    prompt_length: int | None = None
    """Characters."""
    width: int | None = None
    """Pixels, as is `height`."""
    height: int | None = None
    steps: int | None = None
    """Sampler steps."""
    cfg: float | None = None
    guidance: float | None = None
    step_cache: float | None = None
    """0 where every step is computed."""
    has_seed: bool | None = None
    """Whether the caller gave a seed."""
    num_images: int | None = None
    output_format: Text | None = None
    nsfw: bool | None = None


class Event(Properties):
    """Base of the events: what an event holds beside `Common`."""

    pattern: ClassVar[str]
    """Its name; `{stem}` stands for the kind's."""
    scope: ClassVar[Scope]
    about: ClassVar[str] = "job"
    """What its subject is."""
    told_apart_by: ClassVar[tuple[str, ...]] = ()
    """Fields whose values make two events of one execution different events."""

    @classmethod
    def per_kind(cls) -> bool:
        """Whether each kind has an event of its own."""
        return "{stem}" in cls.pattern

    @classmethod
    def name_for(cls, kind: str | None) -> str:
        """Raises KeyError for a per-kind event of a kind that has no stem."""
        return cls.pattern.format(stem=STEMS[kind or ""]) if cls.per_kind() else cls.pattern

    def properties(self) -> dict[str, Any]:
        """As JSON values, those of `request` beside the others."""
        own = self.model_dump(mode="json")
        request: dict[str, Any] = own.pop("request", {})
        return request | own


class GenerationRequested(Event):
    """A job was adopted. The time is that of the manifest's writing."""

    pattern = "modal_{stem}_generation_requested"
    scope = Scope.REQUEST
    request: RequestProperties


class GenerationCompleted(Event):
    """A job succeeded."""

    pattern = "modal_{stem}_generation_completed"
    scope = Scope.END
    request: RequestProperties
    generation_time_ms: int
    """From the start of the attempt to its last stored output."""
    queue_time_ms: int | None = None
    """From the writing of the manifest to the start of the attempt, less `cold_start_ms`."""
    cold_start_ms: int | None = None
    """Start of container and ComfyUI that the job waited for; 0 when they ran."""
    outputs: int
    """Pictures stored."""
    cold_start: bool | None = None
    """Whether the job waited for the start of its worker."""


class GenerationFailed(Event):
    """A job failed for good, or was refused before it ran."""

    pattern = "modal_{stem}_generation_failed"
    scope = Scope.END
    request: RequestProperties
    error_type: ErrorType
    """`error_code` in three classes."""
    refused: bool
    """True when no GPU was started for it."""


class GenerationCancelled(Event):
    """A job was cancelled."""

    pattern = "modal_{stem}_generation_cancelled"
    scope = Scope.END
    request: RequestProperties


class ManifestRejected(Event):
    """A manifest that belongs to no known kind, or a `rejected/` entry."""

    pattern = "modal_manifest_rejected"
    scope = Scope.END
    about = "manifest"
    entry: Text
    """Its name in the inbox."""
    manifest_bytes: int | None = None
    field: Text | None = None
    """The field at fault."""


class LoraLoaded(Event):
    """An execution applied a LoRA."""

    pattern = "modal_lora_loaded"
    scope = Scope.ATTEMPT
    told_apart_by = ("lora_file",)
    lora_id: Text | None = None
    lora_file: Text
    """Key in the bucket."""
    sha256: Text
    lora_size_mb: float
    """Millions of bytes."""
    load_time_ms: int
    """To have the file on the worker's disk: 0 when it was there."""
    cached: bool
    """Whether the file was on the worker's disk already."""


class LoraLoadFailed(Event):
    """A LoRA could not be found, read or fitted to the base model."""

    pattern = "modal_lora_load_failed"
    scope = Scope.ATTEMPT
    told_apart_by = ("lora_id", "lora_file")
    lora_id: Text | None = None
    lora_file: Text | None = None
    """Key or name, as far as it was known."""
    sha256: Text | None = None
    """Only of a file that was pulled."""
    lora_size_mb: float | None = None
    """Millions of bytes."""
    load_time_ms: int | None = None
    """To the error."""
    error_type: ErrorType
    reason: Text


class FaceConsistencyMeasured(Event):
    """An output was compared with the reference face: one event per output, view and gate try."""

    pattern = "modal_instantid_face_consistency_measured"
    scope = Scope.ATTEMPT
    told_apart_by = ("output", "view", "gate_try")
    consistency_score: float | None
    """`match`, 0 to 1; null when there is no baseline or no face."""
    similarity: float | None = None
    """Cosine of the face embeddings, -1 to 1."""
    baseline: float | None = None
    """Mean similarity of the same person's pictures: what counts as match 1."""
    strangers_baseline: float | None = None
    """Mean similarity of strangers: what counts as match 0."""
    embedder: Text | None = None
    """Of the similarity; those of different ones do not compare."""
    embedder_sha256: Text | None = None
    """Of the embedder's file."""
    faces_found: int | None = None
    """In the output."""
    reason: Text | None = None
    """Why there is no score, such as `baseline_unknown`."""
    output: int
    """From 0."""
    view: Text | None = None
    """A character sheet's view."""
    view_ok: bool | None = None
    """Whether it is the view that was asked for; null where none was, or it could not be judged."""
    view_reason: Text | None = None
    """Why it is not, or was not judged, such as `wrong_yaw` or `unmeasured`."""
    asked_yaw: float | None = None
    """Degrees, above 0 to the picture's right; null where no head was asked for, as from behind."""
    asked_pitch: float | None = None
    """Degrees, above 0 up."""
    asked_roll: float | None = None
    """Degrees, above 0 clockwise."""
    asked_framing: Text | None = None
    """`close-up`, `half` or `full`; null takes any."""
    measured_yaw: float | None = None
    """Of the face that was found, as the other measured angles; null without one."""
    measured_pitch: float | None = None
    measured_roll: float | None = None
    measured_framing: Text | None = None
    gate_try: int = 0
    """From 0; more when a score below the gate made it try another seed."""
    kept: bool = True
    """Whether this try is the output."""
    generation_time_ms: int | None = None
    """What the nodes of its last prompt took, to make the picture that was measured."""


class ModelLoaded(Event):
    """A worker loaded a model's weights: told by the first of its jobs that used them."""

    pattern = "modal_model_loaded"
    scope = Scope.ATTEMPT
    told_apart_by = ("model_name",)
    model_name: Text
    """A set of models.toml, such as `flux-dev`, or a single file of it."""
    model_size_mb: float | None = None
    """Millions of bytes."""
    load_time_ms: int
    """Of what ComfyUI's loaders took in that job, the share of these bytes."""
    source: Text
    """`volume`, `local` for a disk of the machine's own, or `cache` where the files had been read
    into memory while ComfyUI started."""


class AppDeployed(Event):
    """The first tick of a version."""

    pattern = "modal_app_deployed"
    scope = Scope.END
    about = "deploy"
    kinds: tuple[Text, ...] = ()
    """The job kinds that this version runs."""


class BudgetReached(Event):
    """A share of a budget has been spent, by jobs that have ended."""

    pattern = "modal_budget_reached"
    scope = Scope.END
    about = "alarm"
    budget: Text
    """Its name in budgets.toml."""
    percent: int
    """50, 80 or 100: what was reached."""
    budget_usd: float
    spent_usd: float
    """When it was noticed."""
    on_exceeded: Text
    """`wait` or `refuse`: what becomes of jobs that it has no room for."""

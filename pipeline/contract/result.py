"""The result: the commit of a job, and the only index of its outputs.

Written once. The one thing that may take its place is the tombstone of a job that is forgotten
(pipeline/contract/tombstone.py).
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from events.stored_event import StoredEvent
from handlers.character_sheet.sheet_document import SetVerdict
from handlers.faces.match import Reason
from handlers.json_document import JsonDocument
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.keys import clip, is_beside_jobs

Seconds = Annotated[
    float, Field(allow_inf_nan=False), AfterValidator(lambda value: round(value, 4))
]
"""Rounded to a tenth of a millisecond."""
Usd = Annotated[float, Field(allow_inf_nan=False), AfterValidator(lambda value: round(value, 8))]
"""Rounded to a hundred-millionth of a dollar."""


class _Part(BaseModel):
    """Fields of a later version are passed over: a result is never changed."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


class Status(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FORGOTTEN = "forgotten"
    """It was erased after its end: a tombstone is left, so that its id stays used."""


class Region(_Part):
    """Whole pixels, from the picture's top left corner."""

    x: int
    y: int
    width: int
    height: int


class FaceBaseline(_Part):
    """Similarities of the same person and of strangers: what counts as match 1 and as match 0."""

    same_mean: float
    strangers_mean: float


class OutputFace(_Part):
    """A face measured against the reference."""

    similarity: Annotated[float, Field(ge=-1, le=1)]
    """Cosine of the embeddings."""
    match: Annotated[float, Field(ge=0, le=1)] | None = None
    """Null without a baseline."""
    baseline: FaceBaseline | None = None
    reason: str | None = None
    """Why there is no match, such as `baseline_unknown`. Beside a match `profile` says that it is
    to references from the same side: not calibrated, so it counts for no gate and no mean."""
    embedder: str
    """What was measured with; similarities of different ones do not compare."""
    embedder_sha256: str | None = None
    """Of the embedder's file; null in results from before it was noted."""
    faces_found: int
    """In the picture."""
    box: Region
    """Where it is."""
    seed: int
    """That it was made with."""
    gate_try: int = 0
    """From 0: which of the tries this is."""
    tries: int = 1
    """How many were made."""

    @property
    def counted_match(self) -> float | None:
        """The match, of a face that compares with those from the front."""
        return None if self.reason == Reason.PROFILE else self.match


class ViewAngles(_Part):
    """Degrees, and how much of the figure is in the picture; null where there is no face."""

    yaw: float | None = None
    """Above 0, the face turns to the picture's right."""
    pitch: float | None = None
    roll: float | None = None
    framing: str | None = None


class OutputView(_Part):
    """Which view a picture was to show, and how it came about."""

    number: int | None = None
    """Its place in a character sheet, from 1: a missing one shifts no other."""
    id: str
    """Of the sheet's view, or the picture's name."""
    asked: ViewAngles | None = None
    measured: ViewAngles | None = None
    """Null where nothing was measured."""
    ok: bool | None = None
    """Null where it could not be judged."""
    reason: str | None = None
    """Why not, such as `unmeasured` of a profile in which no face was found."""
    reused_from: str | None = None
    """The job that made it, where this one reuses it; its picture lies in that job's folder."""
    tries: int = 1
    """Times that it was made."""
    seconds: Seconds = 0.0
    """That its graphs took, all tries together."""
    usd: Usd = 0.0
    """Its share of the job's cost, by these seconds."""


class MissingView(_Part):
    """A view that a character sheet lacks."""

    number: int
    id: str
    reason: str
    """What the best of its pictures lacks, such as `face_below_gate`, or why there was no further
    try: the code of the error that ended the job, `over_budget`, `cancelled`."""
    tries: int = 0
    best: str | None = None
    """Key of that picture."""
    seconds: Seconds = 0.0
    usd: Usd = 0.0


class ResultFile(_Part):
    """A file beside the pictures."""

    name: str
    """Such as `sheet.json`."""
    key: str
    bytes: int
    sha256: str
    content_type: str


class Output(_Part):
    key: str
    bytes: int
    sha256: str
    """In hex."""
    width: int | None
    """Pixels; null for a video, as is `height`."""
    height: int | None
    content_type: str
    seed: int
    """That it was made with."""
    face: OutputFace | None = None
    """Null where nothing was measured."""
    face_reason: str | None = None
    """Why not, for the kinds that measure: `no_face`, `face_models_missing`."""
    resampled: Region | None = None
    """What a face pass made anew. Outside it, the picture is as it was composed."""
    composition: "Output | None" = None
    """The picture before its face pass, where it was to be kept."""
    view: OutputView | None = None
    """Where a view was asked for: in a character sheet, or by `head`."""


class ColdParts(_Part):
    """Where the seconds of a cold start went. `container`, `imports` and `comfyui` make up `start`;
    the others lie in the job's own parts, or beside it."""

    container: Seconds
    """Process born → our code begins to load. What the platform did before is in `claim`."""
    imports: Seconds
    """→ modules, tables and clients loaded."""
    comfyui: Seconds
    """→ ComfyUI answers and its device was looked at."""
    weights: Seconds
    """Of `load`: what this job's loader nodes took."""
    first_step: Seconds
    """Of `sampling`: the first sampler step beyond the median of the others. Weights move to the
    GPU in it."""
    read_ahead: Seconds
    """Reading weight files into memory, while ComfyUI started."""
    read_ahead_bytes: int


class Metrics(_Part):
    """Seconds by part. `queue` and `claim` are between readings of the store's clock, which ticks
    in whole seconds; the rest is measured in the worker. Text encoders and weights that load
    lazily count under the node that needed them (encode, sampling)."""

    queue: Seconds
    """Manifest written → claimed."""
    claim: Seconds
    """Claimed → execution started, less `start`: validation, spawn, the wait for a worker."""
    start: Seconds
    """Container and ComfyUI start that this job waited for; 0 when warm."""
    load: Seconds
    """Nodes that load models."""
    encode: Seconds
    """Nodes that encode texts and pictures."""
    sampling: Seconds
    decode: Seconds
    """Nodes that make pixels of latents."""
    other: Seconds
    """Nodes of no named part, saving among them."""
    upload: Seconds
    """Checking, encoding and storing the outputs: of all but a job's last one while the next is
    made."""
    total: Seconds
    """Execution started → outputs stored."""
    gpu: str
    """As in gpus.toml; the device's own name where it has no row."""
    gpu_seconds: Seconds
    """That are paid for: `total` and `start`."""
    cold: bool
    cold_parts: ColdParts | None = None
    """Null when warm."""
    estimate_seconds: Seconds | None = None
    """What the job was expected to take at least, warm, on the first GPU of its route; null where
    no estimate can be made."""
    estimate_most_seconds: Seconds | None = None
    """What it was expected to take at most, with all its tries."""
    evicted: tuple[str, ...] = ()
    """Weight files that were dropped to make room for this job's: whoever needs them next reads
    them again."""


class JobCost(_Part):
    """US dollars: the GPU with the route's cores and memory, by the second."""

    usd: Usd
    """Of the attempt that made this result."""
    cold_usd: Usd = 0.0
    """The share of `usd` that paid for a cold start."""
    total_usd: Usd
    """With the attempts that were lost or failed before it."""
    upper_bound: bool = False
    """Whether `total_usd` counts a lost attempt until it was given up, not until it died."""
    estimate_usd: Usd | None = None
    """Made as `estimate_seconds` of the metrics."""
    estimate_most_usd: Usd | None = None
    """Made as `estimate_most_seconds` of the metrics."""


class UsedLora(_Part):
    key: str
    sha256: str


class Provenance(_Part):
    engine: str
    """What drew the pictures: `comfyui`, or `standin` where no model did. In events and settings
    the word means the platform, in code whatever starts workers on one (docs/glossary.md)."""
    comfyui_version: str | None = None
    steps: int = 0
    """Sampler steps that the graphs of all prompts ask for, whichever way they are computed."""
    step_cache: float = 0.0
    """The input of that name, as the graphs have it; 0 where every step was computed."""
    own_nodes: bool = False
    """Whether the graphs ran with our node pack in the place of ComfyUI's savers and attention."""
    sampled: dict[str, int] = {}
    """Steps of all prompts by how they were computed: `eager` by ComfyUI's own arithmetic,
    `compiled` by blocks compiled for this card, `fp8-eager` and `fp8` the same with weights in 8
    bits, `cached` by the first block alone, the others' work taken from a step before. Empty where
    ComfyUI loads its models itself and nothing is cached."""
    graph_sha256: tuple[str, ...] = ()
    """Of each graph that ran, in order; file names are left out of it."""
    models: dict[str, str | None] = {}
    """Weight file → its sha256 by models.toml. Empty on the stand-in, where no model ran."""
    model_sets: dict[str, str] = {}
    """Set of weights that the graphs name → fingerprint of its version (`ryla models history`)."""
    lora: UsedLora | None = None
    app_version: str


def _beside_jobs(key: str) -> str:
    if not is_beside_jobs(key):
        raise ValueError(f"{clip(key)} does not go with a job")
    return key


class Erasure(_Part):
    """How far a job is forgotten."""

    begun_at: AwareDatetime
    """By the store's clock, as are the others."""
    quiet_at: AwareDatetime
    """From then on nothing of the job can run, so that what is deleted stays deleted."""
    ended_at: AwareDatetime | None = None
    """Null as long as something of it may be left: `ryla forget` goes on where it was stopped."""
    left: tuple[Annotated[str, AfterValidator(_beside_jobs)], ...] = ()
    """Keys outside the job's folder that go with it; none once it has ended."""


class Result(JsonDocument, _Part):
    v: int = 1
    id: str
    status: Status
    model: str | None
    tenant: str | None
    platform: str | None = None
    """Where it ran, or where it was refused or cancelled, such as `modal`; null in results from
    before it was noted."""
    batch: str | None = None
    """The batch that it was sent in."""
    attempt: Annotated[int, Field(ge=0)]
    """0 when no execution or dispatcher had the job (a cancel while it waited)."""
    nonce: str
    """Of whoever wrote it."""
    manifest_sha256: str
    """Of the bytes of `jobs/<id>/manifest.json`."""
    submitted_at: AwareDatetime | None = None
    """When the manifest was written, as is `finished_at` by the store's clock."""
    finished_at: AwareDatetime
    seed: int | None = None
    """The job's, given or derived from its id; null where it did not get that far."""
    outputs: tuple[Output, ...] = ()
    partial: bool = False
    """Whether it is a character sheet that lacks views, with at least `min_views` of them."""
    missing: tuple[MissingView, ...] = ()
    """Views that a character sheet lacks."""
    files: tuple[ResultFile, ...] = ()
    """Files that are no pictures of the job: of a character sheet, `sheet.json` and its contact
    sheet."""
    sheet: SetVerdict | None = None
    """Of a character sheet: its views as a set."""
    metrics: Metrics | None = None
    cost: JobCost | None = None
    provenance: Provenance | None = None
    error: ErrorInfo | None = None
    also: tuple[ErrorInfo, ...] = ()
    """Further errors of the same manifest."""
    warnings: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}
    callback_url: str | None = None
    """Where the end is told; null for one that may not be called."""
    events: tuple[StoredEvent, ...] = ()
    erasure: Erasure | None = None
    """Of a job that is forgotten, null of any other."""

    @property
    def own_outputs(self) -> tuple[Output, ...]:
        """Those that the job made itself; a character sheet may name others that it reuses."""
        return tuple(
            output for output in self.outputs if output.view is None or not output.view.reused_from
        )

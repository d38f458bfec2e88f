"""How a job ended, field by field.

Written by `python -m tools.client_types` from the JSON Schema: edit the models.
"""

from typing import Any, Literal, TypeAlias, TypedDict


class ColdParts(TypedDict):
    """Where the seconds of a cold start went. `container`, `imports` and `comfyui` make up `start`;
    the others lie in the job's own parts, or beside it."""

    container: float
    imports: float
    comfyui: float
    weights: float
    first_step: float
    read_ahead: float
    read_ahead_bytes: int


class Coverage(TypedDict):
    """How many pictures there are of each sort."""

    angles: dict[str, int]
    framings: dict[str, int]


class ErrorInfo(TypedDict):
    """An error as it stands in results, leases and rejected/ entries."""

    code: str
    message: str
    field: str | None
    value: str | None
    hint: str | None
    retryable: bool
    log_tail: list[str]


class FaceBaseline(TypedDict):
    """Similarities of the same person and of strangers: what counts as match 1 and as match 0."""

    same_mean: float
    strangers_mean: float


class JobCost(TypedDict):
    usd: float
    cold_usd: float
    total_usd: float
    upper_bound: bool
    estimate_usd: float | None
    estimate_most_usd: float | None


class Metrics(TypedDict):
    """Seconds by part. `queue` and `claim` are between readings of the store's clock, which ticks
    in whole seconds; the rest is measured in the worker. Text encoders and weights that load
    lazily count under the node that needed them (encode, sampling)."""

    queue: float
    claim: float
    start: float
    load: float
    encode: float
    sampling: float
    decode: float
    other: float
    upload: float
    total: float
    gpu: str
    gpu_seconds: float
    cold: bool
    cold_parts: ColdParts | None
    estimate_seconds: float | None
    estimate_most_seconds: float | None
    evicted: list[str]


class MissingView(TypedDict):
    """A view that a character sheet lacks."""

    number: int
    id: str
    reason: str
    tries: int
    best: str | None
    seconds: float
    usd: float


class Region(TypedDict):
    """Whole pixels, from the picture's top left corner."""

    x: int
    y: int
    width: int
    height: int


class OutputFace(TypedDict):
    """A face measured against the reference."""

    similarity: float
    match: float | None
    baseline: FaceBaseline | None
    reason: str | None
    embedder: str
    embedder_sha256: str | None
    faces_found: int
    box: Region
    seed: int
    gate_try: int
    tries: int


class ViewAngles(TypedDict):
    """Degrees, and how much of the figure is in the picture; null where there is no face."""

    yaw: float | None
    pitch: float | None
    roll: float | None
    framing: str | None


class OutputView(TypedDict):
    """Which view a picture was to show, and how it came about."""

    number: int | None
    id: str
    asked: ViewAngles | None
    measured: ViewAngles | None
    ok: bool | None
    reason: str | None
    reused_from: str | None
    tries: int
    seconds: float
    usd: float


class Output(TypedDict):
    key: str
    bytes: int
    sha256: str
    width: int | None
    height: int | None
    content_type: str
    seed: int
    face: OutputFace | None
    face_reason: str | None
    resampled: Region | None
    composition: "Output | None"
    view: OutputView | None


class Pair(TypedDict):
    """Two views by their names."""

    views: list[Any]
    similarity: float | None
    match: float | None
    bits: int | None


class UsedLora(TypedDict):
    key: str
    sha256: str


class Provenance(TypedDict):
    engine: str
    comfyui_version: str | None
    own_nodes: bool
    graph_sha256: list[str]
    models: dict[str, str | None]
    model_sets: dict[str, str]
    lora: UsedLora | None
    app_version: str


class ResultFile(TypedDict):
    """A file beside the pictures."""

    name: str
    key: str
    bytes: int
    sha256: str
    content_type: str


class SetVerdict(TypedDict):
    """The set as a whole."""

    views: int
    made: int
    compared: int
    worst: str | None
    worst_match: float | None
    mean_match: float | None
    least_alike: Pair | None
    mean_alike: float | None
    too_alike: list[Pair]
    coverage: Coverage
    trainable: bool
    because: str
    wanting: list[str]


Status: TypeAlias = Literal["succeeded", "failed", "rejected", "cancelled"]


class Result(TypedDict):
    v: int
    id: str
    status: Status
    model: str | None
    tenant: str | None
    attempt: int
    manifest_sha256: str
    submitted_at: str | None
    finished_at: str
    seed: int | None
    outputs: list[Output]
    partial: bool
    missing: list[MissingView]
    files: list[ResultFile]
    sheet: SetVerdict | None
    metrics: Metrics | None
    cost: JobCost | None
    provenance: Provenance | None
    error: ErrorInfo | None
    also: list[ErrorInfo]
    warnings: list[str]
    metadata: dict[str, Any]
    callback_url: str | None

"""How a job ended, field by field.

Written by `python -m tools.client_types` from the JSON Schema: edit the models.
"""

from typing import Any, Literal, TypeAlias, TypedDict


class ColdParts(TypedDict):
    """Where the seconds of a cold start went. `container`, `imports` and `comfyui` make up `start`;
    the others lie in the job's own parts, or beside it."""

    container: float
    """Process born → our code begins to load. What the platform did before is in `claim`."""
    imports: float
    """→ modules, tables and clients loaded."""
    comfyui: float
    """→ ComfyUI answers and its device was looked at."""
    weights: float
    """Of `load`: what this job's loader nodes took."""
    first_step: float
    """Of `sampling`: the first sampler step beyond the median of the others. Weights move to the
    GPU in it."""
    read_ahead: float
    """Reading weight files into memory, while ComfyUI started."""
    read_ahead_bytes: int


class Coverage(TypedDict):
    """How many pictures there are of each sort."""

    angles: dict[str, int]
    framings: dict[str, int]


class Erasure(TypedDict):
    """How far a job is forgotten."""

    begun_at: str
    """By the store's clock, as are the others."""
    quiet_at: str
    """From then on nothing of the job can run, so that what is deleted stays deleted."""
    ended_at: str | None
    """Null as long as something of it may be left: `ryla forget` goes on where it was stopped."""
    left: list[str]
    """Keys outside the job's folder that go with it; none once it has ended."""


class ErrorInfo(TypedDict):
    """An error as it stands in results, leases and rejected/ entries."""

    code: str
    """Of a class of the tree."""
    message: str
    field: str | None
    """Path of what is at fault, such as `input.width`."""
    value: str | None
    """What it held, as text of at most 200 characters."""
    hint: str | None
    retryable: bool
    log_tail: list[str]
    """ComfyUI's last lines, at most 20 of 500 characters, the latest at the end."""


class FaceBaseline(TypedDict):
    """Similarities of the same person and of strangers: what counts as match 1 and as match 0."""

    same_mean: float
    strangers_mean: float


class JobCost(TypedDict):
    """US dollars: the GPU with the route's cores and memory, by the second."""

    usd: float
    """Of the attempt that made this result."""
    cold_usd: float
    """The share of `usd` that paid for a cold start."""
    total_usd: float
    """With the attempts that were lost or failed before it."""
    upper_bound: bool
    """Whether `total_usd` counts a lost attempt until it was given up, not until it died."""
    estimate_usd: float | None
    """Made as `estimate_seconds` of the metrics."""
    estimate_most_usd: float | None
    """Made as `estimate_most_seconds` of the metrics."""


class Metrics(TypedDict):
    """Seconds by part. `queue` and `claim` are between readings of the store's clock, which ticks
    in whole seconds; the rest is measured in the worker. Text encoders and weights that load
    lazily count under the node that needed them (encode, sampling)."""

    queue: float
    """Manifest written → claimed."""
    claim: float
    """Claimed → execution started, less `start`: validation, spawn, the wait for a worker."""
    start: float
    """Container and ComfyUI start that this job waited for; 0 when warm."""
    load: float
    """Nodes that load models."""
    encode: float
    """Nodes that encode texts and pictures."""
    sampling: float
    decode: float
    """Nodes that make pixels of latents."""
    other: float
    """Nodes of no named part, saving among them."""
    upload: float
    """Checking, encoding and storing the outputs: of all but a job's last one while the next is
    made."""
    total: float
    """Execution started → outputs stored."""
    gpu: str
    """As in gpus.toml; the device's own name where it has no row."""
    gpu_seconds: float
    """That are paid for: `total` and `start`."""
    cold: bool
    cold_parts: ColdParts | None
    """Null when warm."""
    estimate_seconds: float | None
    """What the job was expected to take at least, warm, on the first GPU of its route; null where
    no estimate can be made."""
    estimate_most_seconds: float | None
    """What it was expected to take at most, with all its tries."""
    evicted: list[str]
    """Weight files that were dropped to make room for this job's: whoever needs them next reads
    them again."""


class MissingView(TypedDict):
    """A view that a character sheet lacks."""

    number: int
    id: str
    reason: str
    """What the best of its pictures lacks, such as `face_below_gate`, or why there was no further
    try: the code of the error that ended the job, `over_budget`, `cancelled`."""
    tries: int
    best: str | None
    """Key of that picture."""
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
    """Cosine of the embeddings."""
    match: float | None
    """Null without a baseline."""
    baseline: FaceBaseline | None
    reason: str | None
    """Why there is no match, such as `baseline_unknown`. Beside a match `profile` says that it is
    to references from the same side: not calibrated, so it counts for no gate and no mean."""
    embedder: str
    """What was measured with; similarities of different ones do not compare."""
    embedder_sha256: str | None
    """Of the embedder's file; null in results from before it was noted."""
    faces_found: int
    """In the picture."""
    box: Region
    """Where it is."""
    seed: int
    """That it was made with."""
    gate_try: int
    """From 0: which of the tries this is."""
    tries: int
    """How many were made."""


class ViewAngles(TypedDict):
    """Degrees, and how much of the figure is in the picture; null where there is no face."""

    yaw: float | None
    """Above 0, the face turns to the picture's right."""
    pitch: float | None
    roll: float | None
    framing: str | None


class OutputView(TypedDict):
    """Which view a picture was to show, and how it came about."""

    number: int | None
    """Its place in a character sheet, from 1: a missing one shifts no other."""
    id: str
    """Of the sheet's view, or the picture's name."""
    asked: ViewAngles | None
    measured: ViewAngles | None
    """Null where nothing was measured."""
    ok: bool | None
    """Null where it could not be judged."""
    reason: str | None
    """Why not, such as `unmeasured` of a profile in which no face was found."""
    reused_from: str | None
    """The job that made it, where this one reuses it; its picture lies in that job's folder."""
    tries: int
    """Times that it was made."""
    seconds: float
    """That its graphs took, all tries together."""
    usd: float
    """Its share of the job's cost, by these seconds."""


class Output(TypedDict):
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
    face: OutputFace | None
    """Null where nothing was measured."""
    face_reason: str | None
    """Why not, for the kinds that measure: `no_face`, `face_models_missing`."""
    resampled: Region | None
    """What a face pass made anew. Outside it, the picture is as it was composed."""
    composition: "Output | None"
    """The picture before its face pass, where it was to be kept."""
    view: OutputView | None
    """Where a view was asked for: in a character sheet, or by `head`."""


class Pair(TypedDict):
    """Two views by their names."""

    views: list[Any]
    similarity: float | None
    match: float | None
    bits: int | None
    """In which their pictures as a whole differ, of 64."""


class UsedLora(TypedDict):
    key: str
    sha256: str


class Provenance(TypedDict):
    engine: str
    """What drew the pictures: `comfyui`, or `standin` where no model did. In events and settings
    the word means the platform, in code whatever starts workers on one (docs/glossary.md)."""
    comfyui_version: str | None
    steps: int
    """Sampler steps that the graphs of all prompts ask for, whichever way they are computed."""
    step_cache: float
    """The input of that name, as the graphs have it; 0 where every step was computed."""
    own_nodes: bool
    """Whether the graphs ran with our node pack in the place of ComfyUI's savers and attention."""
    sampled: dict[str, int]
    """Steps of all prompts by how they were computed: `eager` by ComfyUI's own arithmetic,
    `compiled` by blocks compiled for this card, `fp8-eager` and `fp8` the same with weights in 8
    bits, `cached` by the first block alone, the others' work taken from a step before. Empty where
    ComfyUI loads its models itself and nothing is cached."""
    graph_sha256: list[str]
    """Of each graph that ran, in order; file names are left out of it."""
    models: dict[str, str | None]
    """Weight file → its sha256 by models.toml. Empty on the stand-in, where no model ran."""
    model_sets: dict[str, str]
    """Set of weights that the graphs name → fingerprint of its version (`ryla models history`)."""
    lora: UsedLora | None
    app_version: str


class ResultFile(TypedDict):
    """A file beside the pictures."""

    name: str
    """Such as `sheet.json`."""
    key: str
    bytes: int
    sha256: str
    content_type: str


class SetVerdict(TypedDict):
    """The set as a whole."""

    views: int
    """Asked for."""
    made: int
    compared: int
    """Pictures whose match is known."""
    worst: str | None
    """Name of the view with the least match."""
    worst_match: float | None
    mean_match: float | None
    least_alike: Pair | None
    """The two faces that are least alike."""
    mean_alike: float | None
    """Mean similarity of all pairs of faces."""
    too_alike: list[Pair]
    """The same head and framing, and hardly another picture."""
    coverage: Coverage
    trainable: bool
    because: str
    """In one line."""
    wanting: list[str]
    """What would make it trainable, such as `add 4 close-up`."""


Status: TypeAlias = Literal["succeeded", "failed", "rejected", "cancelled", "forgotten"]


class Result(TypedDict):
    v: int
    id: str
    status: Status
    model: str | None
    tenant: str | None
    platform: str | None
    """Where it ran, or where it was refused or cancelled, such as `modal`; null in results from
    before it was noted."""
    batch: str | None
    """The batch that it was sent in."""
    attempt: int
    """0 when no execution or dispatcher had the job (a cancel while it waited)."""
    manifest_sha256: str
    """Of the bytes of `jobs/<id>/manifest.json`."""
    submitted_at: str | None
    """When the manifest was written, as is `finished_at` by the store's clock."""
    finished_at: str
    seed: int | None
    """The job's, given or derived from its id; null where it did not get that far."""
    outputs: list[Output]
    partial: bool
    """Whether it is a character sheet that lacks views, with at least `min_views` of them."""
    missing: list[MissingView]
    """Views that a character sheet lacks."""
    files: list[ResultFile]
    """Files that are no pictures of the job: of a character sheet, `sheet.json` and its contact
    sheet."""
    sheet: SetVerdict | None
    """Of a character sheet: its views as a set."""
    metrics: Metrics | None
    cost: JobCost | None
    provenance: Provenance | None
    error: ErrorInfo | None
    also: list[ErrorInfo]
    """Further errors of the same manifest."""
    warnings: list[str]
    metadata: dict[str, Any]
    callback_url: str | None
    """Where the end is told; null for one that may not be called."""
    erasure: Erasure | None
    """Of a job that is forgotten, null of any other."""

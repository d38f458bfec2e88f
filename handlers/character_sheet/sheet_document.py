"""`sheet.json`: what a sheet is, view by view and as a set, for whoever trains on it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from handlers.character_sheet.combinations import ScoredAgainst
from handlers.character_sheet.person import BaseName
from handlers.character_sheet.sheet_plan import PlannedHead, PlannedLora, PlannedWeight, Thresholds
from handlers.faces.view import Framing
from handlers.json_document import JsonDocument

Number = Annotated[float, AfterValidator(lambda value: round(value, 4))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


class DocumentView(_Part):
    """One view: what was asked, what there is, and how well it fits."""

    number: int
    id: str
    name: str
    """Of its files, such as `01-front`."""
    angle: str
    """`front`, `three-quarter-left`, `side-right`, `back` …"""
    head: PlannedHead | None
    """Asked, in degrees; null from behind."""
    framing: Framing
    prompt: str
    caption: str
    """For a trainer: the trigger word, then what varies."""
    missing: str | None = None
    """Why there is no picture; null where there is one."""
    key: str | None = None
    """Of its picture in the bucket."""
    sha256: str | None = None
    seed: int | None = None
    ok: bool | None = None
    """Whether it is the view that was asked for; null where it could not be judged."""
    ok_reason: str | None = None
    similarity: Number | None = None
    """Cosine to whom the sheet is scored against."""
    match: Number | None = None
    """0 to 1."""
    match_reason: str | None = None
    """Why there is no match: `back`, `profile`, `unmeasured`, `base_face`, `reference` …"""
    reused_from: str | None = None
    """The job that made it, where this one reuses it."""
    tries: int = 0
    seconds: Number = 0.0
    """That its graphs took, all tries together."""
    usd: Number = 0.0
    """Its share of the sheet's cost, by these seconds."""


class Pair(_Part):
    """Two views by their names."""

    views: tuple[str, str]
    similarity: Number | None = None
    match: Number | None = None
    bits: int | None = None
    """In which their pictures as a whole differ, of 64."""


class Coverage(_Part):
    """How many pictures there are of each sort."""

    angles: Mapping[str, int]
    framings: Mapping[str, int]


class SetVerdict(_Part):
    """The set as a whole."""

    views: int
    """Asked for."""
    made: int
    compared: int
    """Pictures whose match is known."""
    worst: str | None = None
    """Name of the view with the least match."""
    worst_match: Number | None = None
    mean_match: Number | None = None
    least_alike: Pair | None = None
    """The two faces that are least alike."""
    mean_alike: Number | None = None
    """Mean similarity of all pairs of faces."""
    too_alike: tuple[Pair, ...] = ()
    """The same head and framing, and hardly another picture."""
    coverage: Coverage
    trainable: bool
    because: str
    """In one line."""
    wanting: tuple[str, ...] = ()
    """What would make it trainable, such as `add 4 close-up`."""


class SheetDocument(JsonDocument, _Part):
    v: int = 1
    job_id: str
    name: str
    """The character's: the caller's text, to be escaped wherever it is shown."""
    purpose: Literal["training"] = "training"
    """A sheet shows one person from all sides so that a model can be trained on it."""
    base: BaseName
    scored_against: ScoredAgainst
    reference_view: str | None = None
    """The front view that the others are scored against, without references."""
    references: tuple[str, ...] = ()
    """Keys of pictures."""
    embedder: str | None = None
    """Of all similarities here; those of different ones do not compare."""
    lora: PlannedLora | None = None
    trigger_word: str = ""
    weights: Mapping[str, PlannedWeight]
    """Role → file, of both passes; the second's roles begin with `face_`."""
    thresholds: Thresholds
    usd: Number
    views: tuple[DocumentView, ...]
    set: SetVerdict

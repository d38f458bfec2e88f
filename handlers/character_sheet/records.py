"""What has been made of a character sheet: one record a step, each created once and never changed.

A step is a composition (`c<k>`), a try at the face (`t<k>`) or the choice among them; k is the
attempt at the view, from 1. Records are read tolerantly: fields of a later version are passed over,
and what an earlier one did not write has a default.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from handlers.faces.view import ViewReason
from handlers.json_document import JsonDocument

NO_FACE = "no_face"
FACE_BELOW_GATE = "face_below_gate"
"""The view is right, and the face too little alike: the one fault that another try at the face may
put right. Any other is of the composition, and named as in handlers/faces/view.py."""
UNJUDGED = frozenset({ViewReason.UNMEASURED, ViewReason.FACE_MODELS_MISSING})
"""Reasons that say nothing against a view."""


class Picture(JsonDocument):
    """A stored picture."""

    key: str
    bytes: int
    sha256: str
    width: int | None
    height: int | None
    content_type: str


class _Region(JsonDocument):
    """Whole pixels, from the picture's top left corner."""

    x: int
    y: int
    width: int
    height: int


class RecordedScore(JsonDocument):
    """A face measured against the references."""

    similarity: float | None = None
    match: float | None = None
    same_mean: float | None = None
    strangers_mean: float | None = None
    embedder: str | None = None
    faces_found: int = 0
    reason: str | None = None
    """Why there is no match; `profile` beside one says that it counts for no gate and no mean."""
    box: _Region | None = None


class RecordedLook(JsonDocument):
    """The largest face as the scoring network saw it. By these the views are compared with one
    another when the sheet ends, whoever ends it."""

    embedder: str
    embedder_sha256: str
    embedding: str | None = None
    """Of length 1: float32, little-endian, in base64. Null where no face was found."""
    yaw: float = 0.0
    """Degrees."""
    side: int = 0
    """Pixels of its shorter side."""
    strangers_mean: float | None = None
    """By the calibration of this embedder, as is `same_mean`; null without one."""
    same_mean: float | None = None


class _Step(JsonDocument):
    v: int = 1
    """Of this form."""
    number: Annotated[int, Field(ge=1)]
    """Of the view in the plan, from 1."""
    view: str
    reused_from: str | None = None
    """The job that made it, where this one reuses it: never one that reuses it too."""


class _Made(_Step):
    """A picture that was made."""

    k: Annotated[int, Field(ge=1)]
    """The attempt at the view that it belongs to."""
    seed: int
    picture: Picture
    seconds: float
    """That its graph took."""
    attempt: int = 1
    """The execution that made it: its pictures lie in a folder of their own."""
    at: datetime | None = None
    """When it was stored, by the store's clock."""
    usd: float = 0.0
    """What `seconds` cost on that machine."""
    engine: str = ""
    """What drew it: `comfyui`, or `standin` where no model did."""
    fault: str | None = None
    """None for a picture that will do."""
    asked: Mapping[str, Any] | None = None
    """The view as asked for, and below as measured; null where nothing was."""
    measured: Mapping[str, Any] | None = None
    reason: str | None = None
    """Why something was not measured."""
    look: RecordedLook | None = None
    """Null where no face was looked for by a network that tells people apart."""
    graph_sha256: str = ""
    weights: Mapping[str, str | None] = Field(default_factory=dict)
    """Weight file → its sha256 by models.toml."""

    @property
    def view_ok(self) -> bool | None:
        """Whether it is the view that was asked for; None where that could not be judged."""
        if self.asked is None or self.reason in UNJUDGED:
            return None
        return self.reason is None


class Composition(_Made):
    """What the base model composed."""

    box: _Region | None = None
    """The face that is to be made anew."""


class Try(_Made):
    """A picture with the face made."""

    composition: int | None = None
    """The k of what it was made in; null where one pass makes all."""
    score: RecordedScore = RecordedScore()
    resampled: _Region | None = None
    """What the face pass made anew."""


class Choice(_Step):
    """What the view ends with."""

    k: int
    """Of the picture that was chosen; 0 where there is none."""
    of: Annotated[str, Field(pattern="^[ct]$")] = "t"
    """Whether that is a try or a composition."""
    fault: str | None = None
    """Why the view is missing: the best of its pictures still has this fault."""

    @property
    def made(self) -> bool:
        """Whether the sheet has this view."""
        return self.fault is None


AnyRecord = Composition | Try | Choice
KINDS: Mapping[str, type[Composition] | type[Try] | type[Choice]] = {
    "c": Composition,
    "t": Try,
    "": Choice,
}
"""By the letter of the name."""


def record_name(record: AnyRecord) -> str:
    """`<nn>-<view>[.c<k>|.t<k>]`, the base name of its object."""
    base = f"{record.number:02d}-{record.view}"
    match record:
        case Composition():
            return f"{base}.c{record.k}"
        case Try():
            return f"{base}.t{record.k}"
        case Choice():
            return base


def parse_record(name: str, body: bytes) -> AnyRecord | None:
    """The record of that base name, or None for what is none: somebody else's object."""
    _, _, ordinal = name.partition(".")
    record = KINDS.get(ordinal[:1], Choice).parse(body)
    return record if record is not None and record_name(record) == name else None


@dataclass(frozen=True)
class ViewRecords:
    """What has been made of one view."""

    compositions: Mapping[int, Composition] = field(default_factory=dict)
    """By k."""
    tries: Mapping[int, Try] = field(default_factory=dict)
    choice: Choice | None = None

    def with_(self, record: AnyRecord) -> "ViewRecords":
        match record:
            case Composition():
                return replace(self, compositions={**self.compositions, record.k: record})
            case Try():
                return replace(self, tries={**self.tries, record.k: record})
            case Choice():
                return replace(self, choice=record)

    @property
    def made(self) -> tuple[Composition | Try, ...]:
        """Every picture, in order."""
        both: list[Composition | Try] = [*self.compositions.values(), *self.tries.values()]
        return tuple(sorted(both, key=lambda one: (one.k, isinstance(one, Try))))

    @property
    def chosen(self) -> Composition | Try | None:
        """The picture that was chosen, even one with a fault."""
        if self.choice is None:
            return None
        among: Mapping[int, Composition | Try] = (
            self.tries if self.choice.of == "t" else self.compositions
        )
        return among.get(self.choice.k)

    @property
    def seconds(self) -> float:
        """That its graphs took. Of steps whose pictures were lost nobody knows."""
        return sum(one.seconds for one in self.made)

    @property
    def reused_from(self) -> str | None:
        """The job that made the view, where this one reuses it."""
        return None if self.choice is None else self.choice.reused_from

    @property
    def attempts(self) -> int:
        """Times that the view was made, or begun."""
        return max((one.k for one in self.made), default=0)


NOTHING_MADE = ViewRecords()


@dataclass(frozen=True)
class SheetRecords:
    """What has been made of a sheet."""

    views: Mapping[int, ViewRecords] = field(default_factory=dict)
    """By number."""

    @classmethod
    def of(cls, records: Iterable[AnyRecord]) -> Self:
        found = cls()
        for record in records:
            found = found.with_(record)
        return found

    def of_view(self, number: int) -> ViewRecords:
        return self.views.get(number, NOTHING_MADE)

    def with_(self, record: AnyRecord) -> Self:
        grown = self.of_view(record.number).with_(record)
        return replace(self, views={**self.views, record.number: grown})

    @property
    def made(self) -> tuple[int, ...]:
        """Numbers of the views that the sheet has."""
        return tuple(
            sorted(
                number for number, view in self.views.items() if view.choice and view.choice.made
            )
        )

    @property
    def seconds(self) -> float:
        return sum(view.seconds for view in self.views.values())

    def usd_before(self, attempt: int) -> float:
        """What the steps of earlier executions cost at least, as far as they were recorded."""
        made = (one for view in self.views.values() for one in view.made)
        return sum(one.usd for one in made if one.attempt < attempt)

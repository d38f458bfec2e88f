"""How alike two faces are, and what that says once strangers have been measured. Pure."""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.errors import InvalidInput
from handlers.faces.boxes import Embedding

SCORING_PACK = "auraface-v1"
"""Another embedder than the one InstantID is conditioned on: else scores would be circular."""

Cosine = Annotated[float, Field(ge=-1, le=1)]


class Reason(StrEnum):
    """Why a number is missing."""

    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    """Of about the same size: who is meant cannot be told."""
    FACE_TOO_SMALL = "face_too_small"
    FACE_CUT = "face_cut"
    """By the picture's edge."""
    FACE_TURNED = "face_turned"
    """So far to a side that it does not compare with frontal ones."""
    PROFILE = "profile"
    """Turned so far that only references from the same side compare. Beside numbers: they are of
    such references, for which no calibration was measured, and count for no gate and no mean."""
    BASELINE_UNKNOWN = "baseline_unknown"
    """No calibration, or one of another embedder or of another file of its name."""
    REFERENCES_DIFFER = "references_differ"
    """The character's own pictures are nearer to strangers than to one person."""
    FACE_MODELS_MISSING = "face_models_missing"


GATE = 0.85
"""The match at which a calibration tells its error rates: what the requirements ask of a face."""


class _Measured(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spread(_Measured):
    """Of the similarities of all pairs of one sort, each counted once."""

    sd: float = Field(ge=0)
    p5: Cosine
    p95: Cosine
    least: Cosine
    most: Cosine
    pairs: int = Field(ge=1)


class ErrorRates(_Measured):
    """What a gate at this match would have done to the pairs."""

    min_match: float = Field(ge=0, le=1)
    similarity: float
    """That stands for this match."""
    genuine_rejected: float = Field(ge=0, le=1)
    strangers_accepted: float = Field(ge=0, le=1)


class Photograph(_Measured):
    address: str
    """Of a public repository, at a commit; or the path in the operator's folder."""
    sha256: str


class Calibration(BaseModel):
    """What an embedder says of the same person and of strangers, measured on labelled pictures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: datetime.date
    embedder: str
    embedder_sha256: str | None = None
    """Of its file; None in a calibration that was made before it was noted, which fits nothing."""
    strangers_mean: Cosine
    same_mean: Cosine
    people: int = Field(ge=2)
    pictures: int = Field(ge=3)
    without_face: int = Field(0, ge=0)
    """Further pictures, in which no face was found."""
    same: Spread | None = None
    strangers: Spread | None = None
    auc: float | None = Field(None, ge=0, le=1)
    """How often a pair of the same person is more alike than one of strangers."""
    errors: ErrorRates | None = None
    photographs: tuple[Photograph, ...] = ()

    def fits(self, embedder: str, sha256: str) -> bool:
        """Whether it was measured with this embedder: a name may stand for several files."""
        return (self.embedder, self.embedder_sha256) == (embedder, sha256)

    @model_validator(mode="after")
    def _tells_people_apart(self) -> Self:
        if self.same_mean <= self.strangers_mean:
            raise ValueError("same_mean must exceed strangers_mean: are the labels right?")
        return self


@dataclass(frozen=True)
class Baseline:
    """The similarities that count as match 0 and match 1."""

    strangers_mean: float
    same_mean: float


@dataclass(frozen=True)
class Score:
    """A face measured against a character's references."""

    embedder: str | None
    faces_found: int = 0
    similarity: float | None = None
    """Mean cosine to the references, -1 to 1."""
    match: float | None = None
    """0 to 1."""
    baseline: Baseline | None = None
    reason: Reason | None = None
    """Set where similarity or match is missing, and `profile` beside them."""
    embedder_sha256: str | None = None
    """Of the embedder's file."""


@dataclass(frozen=True)
class Gate:
    """What an output must reach to be kept at once. Nothing set lets everything through."""

    min_match: float | None = None
    min_similarity: float | None = None


def similarity(one: Embedding, other: Embedding) -> float:
    """Cosine, -1 to 1."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return max(-1.0, min(1.0, dot / (math.hypot(*one) * math.hypot(*other))))


def similarity_to(face: Embedding, references: Sequence[Embedding]) -> float:
    """Mean cosine to each reference, so that it does not grow with their number."""
    return fmean(similarity(face, reference) for reference in references)


def same_mean(references: Sequence[Embedding]) -> float | None:
    """Leave-one-out mean: each reference against the others. None for fewer than two."""
    if len(references) < 2:
        return None
    return fmean(
        similarity_to(one, [*references[:at], *references[at + 1 :]])
        for at, one in enumerate(references)
    )


def match(similar: float, baseline: Baseline) -> float:
    """Where the similarity stands between strangers (0) and the same person (1), clipped."""
    span = baseline.same_mean - baseline.strangers_mean
    return max(0.0, min(1.0, (similar - baseline.strangers_mean) / span))


def baseline_for(
    references: Sequence[Embedding], calibration: Calibration | None, embedder: str, sha256: str
) -> Baseline | Reason:
    """The character's own baseline, or why there is none.

    The same person's mean is the lower of the references' own and calibration's: near-duplicates
    are more alike than any other picture of the person will be.
    """
    if calibration is None or not calibration.fits(embedder, sha256):
        return Reason.BASELINE_UNKNOWN
    own = same_mean(references)
    if odd_one(references, calibration) is not None:
        return Reason.REFERENCES_DIFFER
    same = calibration.same_mean if own is None else min(own, calibration.same_mean)
    return Baseline(calibration.strangers_mean, same)


def half_way(calibration: Calibration) -> float:
    """The similarity in the middle between strangers and the same person."""
    return (calibration.strangers_mean + calibration.same_mean) / 2


def odd_one(references: Sequence[Embedding], calibration: Calibration | None) -> int | None:
    """Which of several references is another person: the one that is least like the others, if it
    is less than half-way from strangers. None if all can be one.

    The calibration must be of the embedder; without one nothing can be told.
    """
    if calibration is None or len(references) < 2:
        return None
    likeness = [
        similarity_to(one, [*references[:at], *references[at + 1 :]])
        for at, one in enumerate(references)
    ]
    least = min(range(len(likeness)), key=lambda at: (likeness[at], -at))
    return least if likeness[least] < half_way(calibration) else None


def require_above_strangers(min_similarity: float | None, calibration: Calibration | None) -> None:
    """Raises InvalidInput for a gate that nearly any face would pass."""
    if min_similarity is None or calibration is None or calibration.strangers is None:
        return
    if min_similarity < calibration.strangers.p95:
        raise InvalidInput(
            f"by {calibration.embedder} 5 % of strangers have a similarity of"
            f" {calibration.strangers.p95:.3f} or more: a gate below it lets others through",
            field="input.min_face_similarity",
            value=min_similarity,
            hint="Use min_face_match, which means the same with every embedder; 0.85 is usual.",
        )


def score(
    face: Embedding | None,
    references: Sequence[Embedding],
    *,
    embedder: str,
    embedder_sha256: str,
    calibration: Calibration | None = None,
    faces_found: int = 1,
    flaw: Reason | None = None,
    profiles: Sequence[Embedding] = (),
) -> Score:
    """Measure an output's face (None: it has none) against at least one reference.

    A face with a flaw (handlers/faces/quality.py) gets that in the place of numbers. One in profile
    is measured against `profiles`, references from its side; the baseline is that of `references`.
    """
    if face is None:
        return Score(embedder, reason=Reason.NO_FACE, embedder_sha256=embedder_sha256)
    if flaw is not None:
        return Score(embedder, faces_found, reason=flaw, embedder_sha256=embedder_sha256)
    similar = similarity_to(face, profiles or references)
    reason = Reason.PROFILE if profiles else None
    found = Score(embedder, faces_found, similar, reason=reason, embedder_sha256=embedder_sha256)
    baseline = baseline_for(references, calibration, embedder, embedder_sha256)
    if isinstance(baseline, Reason):
        return replace(found, reason=baseline)
    return replace(found, match=match(similar, baseline), baseline=baseline)


def passes(gate: Gate, result: Score) -> bool:
    """Whether an output is good enough. A number that is asked for and missing does not pass."""
    return _reaches(result.match, gate.min_match) and _reaches(
        result.similarity, gate.min_similarity
    )


def worth_another_try(gate: Gate, result: Score) -> bool:
    """Whether the gate asks for better, and better could be told."""
    unmeasured = result.reason is Reason.FACE_MODELS_MISSING
    unmatched = result.similarity is not None and result.match is None
    hopeless = unmeasured or (unmatched and gate.min_match is not None)
    return not passes(gate, result) and not hopeless


def best(results: Sequence[Score]) -> int:
    """Which of several tries at the same face to keep: the first of the most similar ones."""
    tries = [-math.inf if one.similarity is None else one.similarity for one in results]
    return tries.index(max(tries))


def _reaches(value: float | None, least: float | None) -> bool:
    return least is None or (value is not None and value >= least)

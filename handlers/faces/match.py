"""How alike two faces are, and what that says once strangers have been measured. Pure."""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from handlers.faces.boxes import Embedding

SCORING_PACK = "auraface-v1"
"""Another embedder than the one InstantID is conditioned on: else scores would be circular."""

Cosine = Annotated[float, Field(ge=-1, le=1)]


class Reason(StrEnum):
    """Why a number is missing."""

    NO_FACE = "no_face"
    BASELINE_UNKNOWN = "baseline_unknown"
    """No calibration, or one of another embedder."""
    REFERENCES_DIFFER = "references_differ"
    """The character's own pictures are no more alike than strangers are."""
    FACE_MODELS_MISSING = "face_models_missing"


class Calibration(BaseModel):
    """What an embedder says of the same person and of strangers, measured on labelled pictures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: datetime.date
    embedder: str
    strangers_mean: Cosine
    same_mean: Cosine
    people: int = Field(ge=2)
    pictures: int = Field(ge=3)
    without_face: int = Field(0, ge=0)
    """Further pictures, in which no face was found."""

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
    """Set where similarity or match is missing."""


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
    references: Sequence[Embedding], calibration: Calibration | None, embedder: str
) -> Baseline | Reason:
    """The character's own baseline, or why there is none.

    The same person's mean is of the character's references; of a single one it is calibration's.
    """
    if calibration is None or calibration.embedder != embedder:
        return Reason.BASELINE_UNKNOWN
    own = same_mean(references)
    baseline = Baseline(calibration.strangers_mean, calibration.same_mean if own is None else own)
    if baseline.same_mean <= baseline.strangers_mean:
        return Reason.REFERENCES_DIFFER
    return baseline


def score(
    face: Embedding | None,
    references: Sequence[Embedding],
    *,
    embedder: str,
    calibration: Calibration | None = None,
    faces_found: int = 1,
) -> Score:
    """Measure an output's face (None: it has none) against at least one reference."""
    if face is None:
        return Score(embedder, 0, reason=Reason.NO_FACE)
    similar = similarity_to(face, references)
    baseline = baseline_for(references, calibration, embedder)
    if isinstance(baseline, Reason):
        return Score(embedder, faces_found, similar, reason=baseline)
    return Score(embedder, faces_found, similar, match(similar, baseline), baseline)


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

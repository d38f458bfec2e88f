"""Which of references, LoRA and base go together in a sheet, how each is made, and what its faces
are scored against. The one table of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from handlers.character_sheet.person import BaseName
from handlers.kinds.compatibility import Base

BASES: Mapping[BaseName, Base] = {
    "sdxl": Base.SDXL,
    "flux-dev": Base.FLUX_DEV,
    "z-image-turbo": Base.Z_IMAGE,
}


class Making(StrEnum):
    """How a view with a face is made."""

    COMPOSED = "composed"
    """By the base model alone; the LoRA makes the likeness."""
    INSTANTID = "instantid"
    """In one pass, by SDXL with InstantID and drawn landmarks."""
    FACE_PASS = "face-pass"
    """The base model composes, SDXL with InstantID makes the face anew."""


class ScoredAgainst(StrEnum):
    """Whose face the views are measured against."""

    REFERENCES = "references"
    BEST_FRONT = "best-front"
    """The front view that is most like all others: without references nobody else is known. It says
    whether the views show one person, not which."""
    PAIRWISE = "pairwise"
    """Each other alone, as there is no front view."""


@dataclass(frozen=True)
class Combination:
    base: BaseName
    references: bool
    lora: bool
    making: Making


COMBINATIONS: tuple[Combination, ...] = (
    Combination("sdxl", True, False, Making.INSTANTID),
    Combination("sdxl", True, True, Making.INSTANTID),
    Combination("sdxl", False, True, Making.COMPOSED),
    Combination("flux-dev", True, False, Making.FACE_PASS),
    Combination("flux-dev", True, True, Making.FACE_PASS),
    Combination("flux-dev", False, True, Making.COMPOSED),
    Combination("z-image-turbo", True, False, Making.FACE_PASS),
    Combination("z-image-turbo", True, True, Making.FACE_PASS),
    Combination("z-image-turbo", False, True, Making.COMPOSED),
)
"""A sheet of neither references nor a LoRA would be of nobody, and is refused."""


def combination(base: BaseName, *, references: bool, lora: bool) -> Combination:
    """Raises StopIteration for neither, which the input model refuses."""
    return next(
        each
        for each in COMBINATIONS
        if (each.base, each.references, each.lora) == (base, references, lora)
    )


def scored_against(*, references: bool, front_view: bool) -> ScoredAgainst:
    if references:
        return ScoredAgainst.REFERENCES
    return ScoredAgainst.BEST_FRONT if front_view else ScoredAgainst.PAIRWISE

"""What goes with what: kind, base, adapter and the LoRA's family. The one table of it.

A LoRA is made of differences to the layers of one model family, and InstantID's ControlNet and
attention weights were trained on SDXL's: on another model the first changes nothing and the second
does not run. ComfyUI calls both a success or fails on the GPU, so they are refused before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from config.errors import (
    BadManifest,
    InvalidField,
    LoraMismatch,
    MissingField,
    RylaError,
    UnknownField,
)
from handlers.loras.family import Family


class Base(StrEnum):
    """The model that composes the picture."""

    FLUX_DEV = "flux-dev"
    FLUX_SCHNELL = "flux-schnell"
    Z_IMAGE = "z-image-turbo"
    SDXL = "sdxl"


class Adapter(StrEnum):
    NONE = "none"
    INSTANTID = "instantid"


FAMILIES: Mapping[Base, Family] = MappingProxyType(
    {
        Base.FLUX_DEV: Family.FLUX,
        Base.FLUX_SCHNELL: Family.FLUX,
        Base.Z_IMAGE: Family.Z_IMAGE,
        Base.SDXL: Family.SDXL,
    }
)

FACE_PASS = ("sdxl-instantid", "antelopev2")
"""Sets of the second pass, which re-samples the face."""


_COMPOSERS: Mapping[Base, tuple[str, ...]] = MappingProxyType(
    {
        Base.SDXL: ("sdxl-instantid",),
        Base.FLUX_DEV: ("flux-dev",),
        Base.Z_IMAGE: ("z-image-turbo",),
    }
)
"""Base of a character sheet → sets of what composes its views."""


@dataclass(frozen=True)
class Row:
    """One way to run a kind."""

    kind: str
    base: Base
    adapter: Adapter
    takes_lora: bool
    sets: tuple[str, ...]
    """Names of models.toml."""
    how: str = ""
    """In words, for docs/models.md; empty where there is nothing to say."""
    needs_lora: bool = False
    """Whether it is refused without one."""


ROWS: tuple[Row, ...] = (
    Row("flux-dev", Base.FLUX_DEV, Adapter.NONE, False, ("flux-dev",)),
    Row("flux-schnell", Base.FLUX_SCHNELL, Adapter.NONE, False, ("flux-schnell",)),
    Row("flux-lora", Base.FLUX_DEV, Adapter.NONE, True, ("flux-dev",), needs_lora=True),
    Row("z-image-turbo", Base.Z_IMAGE, Adapter.NONE, True, ("z-image-turbo",)),
    Row(
        "sdxl-instantid",
        Base.SDXL,
        Adapter.INSTANTID,
        False,
        FACE_PASS,
        "InstantID as it was made",
    ),
    *(
        Row(
            "flux-instantid",
            base,
            Adapter.INSTANTID,
            False,
            (base.value, *FACE_PASS),
            "the base composes, SDXL with InstantID re-samples the face",
        )
        for base in (Base.FLUX_DEV, Base.Z_IMAGE)
    ),
    *(
        Row(
            "character-sheet",
            base,
            Adapter.NONE,
            True,
            sets,
            "by a LoRA alone, which makes the likeness",
            needs_lora=True,
        )
        for base, sets in _COMPOSERS.items()
    ),
    *(
        Row(
            "character-sheet",
            base,
            Adapter.INSTANTID,
            True,
            tuple(dict.fromkeys((*sets, *FACE_PASS))),
            "by reference faces: as sdxl-instantid, the head turned as drawn"
            if base is Base.SDXL
            else "by reference faces: as flux-instantid, the head turned as drawn",
        )
        for base, sets in _COMPOSERS.items()
    ),
)
"""handlers/character_sheet/combinations.py says how each of a sheet is made and scored."""


@dataclass(frozen=True)
class Cell:
    """One combination, and whether it works."""

    kind: str
    base: Base
    adapter: Adapter
    lora: Family | None
    refusal: type[RylaError] | None
    """None where it works."""
    why: str = ""
    """In words, of the refusal."""


LORAS: tuple[Family | None, ...] = (
    *(None, Family.FLUX, Family.SDXL, Family.Z_IMAGE),
    *(Family.SD1, Family.WAN),  # those of every other family are refused as these two are
)
"""None is no LoRA."""


def rows(kind: str) -> tuple[Row, ...]:
    return tuple(row for row in ROWS if row.kind == kind)


def cells(kind: str) -> Iterator[Cell]:
    """Every combination, whether it works or not: base, adapter and LORAS, in this order."""
    for base in Base:
        for adapter in Adapter:
            for lora in LORAS:
                yield cell(kind, base, adapter, lora)


def cell(kind: str, base: Base, adapter: Adapter, lora: Family | None) -> Cell:
    """One combination. `refusal` is a class of the error tree, for whoever raises it."""
    refusal, why = _refusal(kind, base, adapter, lora) or (None, "")
    return Cell(kind, base, adapter, lora, refusal, why)


def sets_of(kinds: Iterator[str] | tuple[str, ...] | frozenset[str]) -> tuple[str, ...]:
    """The sets of weights that these kinds need, each once."""
    wanted = set(kinds)
    return tuple(dict.fromkeys(name for row in ROWS if row.kind in wanted for name in row.sets))


def _refusal(
    kind: str, base: Base, adapter: Adapter, lora: Family | None
) -> tuple[type[RylaError], str] | None:
    known = rows(kind)
    bases = {row.base for row in known}
    if base not in bases:
        wrong: type[BadManifest] = InvalidField if len(bases) > 1 else UnknownField
        return wrong, f"{kind} runs on {' or '.join(sorted(bases))}"
    if adapter not in {row.adapter for row in known}:
        if adapter is Adapter.NONE:
            return MissingField, f"{kind} needs a reference face"
        return UnknownField, f"{kind} takes no reference face: flux-instantid does"
    if lora is None:
        fitting = [row for row in known if (row.base, row.adapter) == (base, adapter)]
        if not any(row.needs_lora for row in fitting):
            return None
        either = len({row.adapter for row in known}) > 1
        return MissingField, f"{kind} needs {'a LoRA or a reference face' if either else 'a LoRA'}"
    if not any(row.takes_lora for row in known):
        return UnknownField, f"{kind} takes no LoRA"
    if lora is not FAMILIES[base]:
        return LoraMismatch, f"a {lora} LoRA does not fit {base}"
    return None

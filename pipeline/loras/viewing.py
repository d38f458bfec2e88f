"""What a LoRA file is, and whether a job could use it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from config.errors import InvalidField, LoraError, LoraUnreadable
from handlers.loras.bases import Base
from handlers.loras.family import Lora, read_alpha
from handlers.loras.header import Ranges
from handlers.loras.refs import LoraRef
from pipeline.loras import shelf
from pipeline.loras.bucket import BucketRanges, Replaced, Sidecar
from pipeline.loras.obtain import examine
from pipeline.loras.resolve import resolve
from pipeline.store.conditional import SafeStore


@dataclass(frozen=True)
class View:
    where: str
    """File or key."""
    bytes: int
    lora: Lora
    alpha: float | None = None
    """Known where it fits."""
    fits: str | None = None
    """The base model, by the name of its weights."""
    error: LoraError | None = None
    """Why a job could not use it."""
    sidecar: Sidecar | None = None

    def document(self) -> dict[str, Any]:
        lora = self.lora
        beside = self.sidecar.model_dump(mode="json") if self.sidecar else {}
        return {
            "lora": self.where,
            "bytes": self.bytes,
            **beside,
            "family": lora.family,
            "fits": self.fits,
            "habit": lora.habit,
            "layers": len(lora.pairs),
            "text_encoder_layers": len(lora.text_encoder_pairs),
            "ranks": lora.ranks,
            "alpha": self.alpha,
            "dtypes": lora.dtypes,
        }


def view(where: str, file: Ranges, known: Mapping[str, Base], base: str | None = None) -> View:
    """Against the base model of this name, else that of the LoRA's family.

    Raises LoraUnreadable, LoraMismatch where there is no LoRA in it, InvalidField for the name.
    """
    if base is not None and base not in known:
        raise InvalidField(
            f"no LoRA is checked for {base!r}",
            field="base",
            value=base,
            hint=f"Known: {', '.join(known)}.",
        )
    lora = shelf.look(file)
    try:
        fits = shelf.fitting(lora, known, base)
    except LoraError as error:
        return View(where, file.size, lora, error=error)
    return View(where, file.size, lora, read_alpha(file, lora), fits)


def view_stored(
    store: SafeStore, ref: LoraRef, prefix: str, known: Mapping[str, Base], base: str | None = None
) -> View:
    """Of a LoRA in the bucket, where what lies beside it counts too."""
    found = resolve(store, ref, prefix)
    try:
        seen = view(found.key, BucketRanges(store, found), known, base)
    except Replaced:
        raise LoraUnreadable(f"{found.key} was replaced meanwhile", hint="Ask again.") from None
    beside = shelf.read(store, found)
    error = seen.error or beside.error
    if error is None and seen.fits is not None:
        error = _refusal(store, ref, prefix, known[seen.fits])
    return replace(seen, fits=None if error else seen.fits, error=error, sidecar=beside.sidecar)


def _refusal(store: SafeStore, ref: LoraRef, prefix: str, base: Base) -> LoraError | None:
    """What a job with these words would be told."""
    try:
        examine(store, ref, base, prefix)
    except LoraError as error:
        return error
    return None

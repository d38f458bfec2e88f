"""LoRAs put into the bucket, looked at, and taken out again: what `ryla loras` does."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from config.errors import (
    InvalidField,
    InvalidInput,
    LoraError,
    LoraMismatch,
    LoraNotFound,
    LoraUnreadable,
)
from config.models import ModelTable
from handlers.kinds.lora_fields import TakesLora, lora_base
from handlers.kinds.registry import KINDS
from handlers.loras.bases import Base
from handlers.loras.description import Lora, describe, read_alpha
from handlers.loras.fit import require_fit
from handlers.loras.header import Ranges, read_header
from handlers.loras.refs import LoraRef
from pipeline.loras.bucket import ENDING, BucketRanges, Found, Replaced, Sidecar, find, read_sidecar
from pipeline.loras.fetch import check_lora
from pipeline.loras.resolve import places, resolve
from pipeline.store.base import Entry
from pipeline.store.conditional import Lost, SafeStore, listed

BINARY = "application/octet-stream"


@dataclass(frozen=True)
class StoredLora:
    """A LoRA in the bucket with what lies beside it."""

    found: Found
    sidecar: Sidecar
    error: LoraError | None = None
    """Why the sidecar could not be read; jobs are refused with it."""


def bases(models: ModelTable) -> dict[str, Base]:
    """What a LoRA may be made for, by the name of the base model: those of kinds that take one.

    Raises MissingModel for a set that models.toml lacks, InvalidSetting for sizes that fit no
    family.
    """
    sets = {kind.weight_set for kind in KINDS.values() if isinstance(kind, TakesLora)}
    return {name: lora_base(models.weights(name)["unet"]) for name in sorted(sets)}


def read_lora(file: Ranges) -> Lora:
    """What a file says it is, whatever it fits. Raises LoraUnreadable or LoraMismatch."""
    return describe(read_header(file))


def fitting(lora: Lora, known: Mapping[str, Base], name: str | None = None) -> str:
    """The base model that a LoRA fits: `name`, else the one of its family. Raises LoraMismatch."""
    if name is None:
        name = next((each for each, base in known.items() if base.family is lora.family), None)
    if name is None:
        takes = ", ".join(known)
        raise LoraMismatch(
            f"the LoRA is one for {lora.family}, and no kind takes such a one",
            value=lora.family.value,
            hint=f"Kinds that take a LoRA run on {takes}; name one to see what does not fit.",
        )
    require_fit(lora, known[name])
    return name


def place(ref: LoraRef, prefix: str) -> str:
    """The key under which a LoRA for these words is found first. Raises InvalidField or
    LoraUnreadable."""
    return places(ref, prefix)[0]


def add(
    store: SafeStore, key: str, body: bytes, sidecar: Sidecar, *, replace: bool = False
) -> None:
    """Write a checked LoRA and its sidecar.

    The file comes first: a sidecar that names another sha256 gets jobs refused, never run wrongly.
    Raises InvalidInput when something else is there, unless `replace`.
    """
    beside = _sidecar_key(key)
    said = sidecar.model_dump_json(exclude_none=True, indent=1).encode()
    if replace:
        store.write(key, body, BINARY)
        store.write(beside, said, "application/json")
        return
    there = find(store, key)
    if there is not None and there.etag != hashlib.md5(body, usedforsecurity=False).hexdigest():
        raise _taken(key)  # told before a large body is sent
    for each, content, kind in ((key, body, BINARY), (beside, said, "application/json")):
        if isinstance(store.create(each, content, kind), Lost):
            raise _taken(each)


def _taken(key: str) -> InvalidInput:
    return InvalidInput(
        f"{key} is in the bucket already, with other content",
        value=key,
        hint="Give --replace to overwrite it, or another name.",
    )


def stored_loras(store: SafeStore, prefix: str) -> Iterator[StoredLora]:
    """Every LoRA of the bucket, in key order."""
    entries = {entry.key: entry for entry in listed(store, prefix)}
    for key, entry in entries.items():
        if key.endswith(ENDING):
            has_sidecar = _sidecar_key(key) in entries
            yield (
                read(store, _found(entry)) if has_sidecar else StoredLora(_found(entry), Sidecar())
            )


def read(store: SafeStore, found: Found) -> StoredLora:
    """What lies beside it; a sidecar that cannot be read is told in `error`."""
    try:
        return StoredLora(found, read_sidecar(store, found))
    except LoraUnreadable as error:
        return StoredLora(found, Sidecar(), error)


def remove(store: SafeStore, key: str) -> None:
    """The file and its sidecar. Raises LoraNotFound."""
    if find(store, key) is None:
        raise LoraNotFound(f"there is no {key}", value=key, hint="`ryla loras list` shows all.")
    store.delete(key)
    store.delete(_sidecar_key(key))


def _sidecar_key(key: str) -> str:
    return key.removesuffix(ENDING) + ".json"


def _found(entry: Entry) -> Found:
    return Found(entry.key, entry.etag, entry.size, entry.last_modified)


@dataclass(frozen=True)
class LoraDescription:
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
        """As JSON."""
        lora = self.lora
        beside = self.sidecar.model_dump(mode="json") if self.sidecar else {}
        return {
            "lora": self.where,
            "bytes": self.bytes,
            **beside,
            "family": lora.family,
            "fits": self.fits,
            "habit": lora.key_format,
            "layers": len(lora.adapters),
            "text_encoder_layers": len(lora.text_encoder_adapters),
            "adapters": lora.kinds,
            "ranks": lora.ranks,
            "alpha": self.alpha,
            "dtypes": lora.dtypes,
        }


def describe_file(
    where: str, file: Ranges, known: Mapping[str, Base], base: str | None = None
) -> LoraDescription:
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
    lora = read_lora(file)
    try:
        fits = fitting(lora, known, base)
    except LoraError as error:
        return LoraDescription(where, file.size, lora, error=error)
    return LoraDescription(where, file.size, lora, read_alpha(file, lora), fits)


def describe_stored(
    store: SafeStore, ref: LoraRef, prefix: str, known: Mapping[str, Base], base: str | None = None
) -> LoraDescription:
    """Of a LoRA in the bucket, where what lies beside it counts too.

    Raises as `describe_file`, and LoraNotFound.
    """
    found = resolve(store, ref, prefix)
    try:
        seen = describe_file(found.key, BucketRanges(store, found), known, base)
    except Replaced:
        raise LoraUnreadable(f"{found.key} was replaced meanwhile", hint="Ask again.") from None
    beside = read(store, found)
    error = seen.error or beside.error
    if error is None and seen.fits is not None:
        error = _refusal(store, ref, prefix, known[seen.fits])
    return replace(seen, fits=None if error else seen.fits, error=error, sidecar=beside.sidecar)


def _refusal(store: SafeStore, ref: LoraRef, prefix: str, base: Base) -> LoraError | None:
    """What a job with these words would be told."""
    try:
        check_lora(store, ref, base, prefix)
    except LoraError as error:
        return error
    return None

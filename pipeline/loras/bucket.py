"""LoRA files as the bucket has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from config.errors import LoraUnreadable
from handlers.loras.family import Family
from pipeline.contract.keys import NAME_PATTERN
from pipeline.store.conditional import SafeStore

ENDING = ".safetensors"
SIDECAR_LIMIT = 64 * 2**10
"""Bytes."""
CHUNK = 16 * 2**20
"""Bytes that a download has in memory at a time."""


class Replaced(Exception):
    """The object is gone or another one now: find it again."""


@dataclass(frozen=True)
class Found:
    """One object, as it was when it was listed."""

    key: str
    etag: str
    size: int
    """Bytes."""
    last_modified: datetime


class Sidecar(BaseModel):
    """What may lie beside a LoRA as `<name>.json`; what a trainer adds is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    trigger_word: Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)] = ""
    family: Family | None = None
    """That it was trained for, where the sidecar says so; jobs on another are refused."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the file that it lies beside."""
    character: Annotated[str, StringConstraints(max_length=200)] | None = None
    tenants: tuple[Annotated[str, StringConstraints(pattern=NAME_PATTERN)], ...] | None = None
    """Whose jobs may use it; None is everybody's."""

    def is_for(self, tenant: str | None) -> bool:
        """None is whoever runs the pipeline."""
        return tenant is None or self.tenants is None or tenant in self.tenants


def every(store: SafeStore, prefix: str) -> Iterator[Found]:
    """Each LoRA file under a prefix, in key order."""
    after, more = "", True
    while more:
        page = store.list(prefix, start_after=after)
        for entry in page.entries:
            after = entry.key
            if entry.key.endswith(ENDING):
                yield Found(entry.key, entry.etag, entry.size, entry.last_modified)
        more = page.truncated


def find(store: SafeStore, key: str) -> Found | None:
    """The object of exactly this key; listed, as that reads none of it."""
    page = store.list(key, limit=1)
    if not page.entries or page.entries[0].key != key:
        return None
    entry = page.entries[0]
    return Found(key, entry.etag, entry.size, entry.last_modified)


def read_sidecar(store: SafeStore, found: Found) -> Sidecar:
    """The sidecar, empty if there is none. Raises LoraUnreadable if it cannot be trusted."""
    key = found.key.removesuffix(ENDING) + ".json"
    beside = find(store, key)
    if beside is not None and beside.size > SIDECAR_LIMIT:
        raise LoraUnreadable(f"{key} has {beside.size:,} bytes, the limit is {SIDECAR_LIMIT:,}")
    stored = None if beside is None else store.get(key)
    if stored is None:
        return Sidecar()
    try:
        return Sidecar.model_validate_json(stored.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise LoraUnreadable(
            f"{key} is no description of a LoRA: {where or 'body'}: {first['msg']}",
            hint="Correct the file or delete it.",
        ) from None


@dataclass(frozen=True)
class BucketRanges:
    """A LoRA's header, read where it lies."""

    store: SafeStore
    found: Found

    @property
    def size(self) -> int:
        return self.found.size

    def read_range(self, offset: int, length: int) -> bytes:
        """Raises Replaced when it is no longer the object that was found."""
        stored = self.store.get(self.found.key, offset=offset, limit=length)
        if stored is None or stored.etag != self.found.etag:
            raise Replaced(self.found.key)
        return stored.body


def download(store: SafeStore, found: Found) -> Iterator[bytes]:
    """The file's bytes. Raises Replaced when it is no longer the object that was found."""
    ranges = BucketRanges(store, found)
    for offset in range(0, found.size, CHUNK):
        yield ranges.read_range(offset, CHUNK)

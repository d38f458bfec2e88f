"""From a job's words for a LoRA to a checked file: once before a GPU starts, once on the worker."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from config.errors import LoraError, LoraMismatch, LoraUnreadable
from handlers.loras.bases import Base
from handlers.loras.description import Lora
from handlers.loras.fit import check
from handlers.loras.header import FileRanges
from handlers.loras.refs import LoraRef
from pipeline.loras.bucket import BucketRanges, Found, Replaced, Sidecar, download, read_sidecar
from pipeline.loras.cache import CachedLora, LoraCache
from pipeline.loras.resolve import LORAS, not_found, resolve
from pipeline.store.conditional import SafeStore

T = TypeVar("T")
TRIES = 3
"""Looks for a file that is replaced each time."""


@dataclass(frozen=True)
class CheckedLora:
    """A file that fits its base model, as it was when it was looked at."""

    found: Found
    sidecar: Sidecar
    lora: Lora


def check_lora(
    store: SafeStore, ref: LoraRef, base: Base, prefix: str = LORAS, tenant: str | None = None
) -> CheckedLora:
    """Everything that can be known without pulling the file: that it is there, of the base's
    family, and that every matrix fits.

    Raises any LoraError, with `seconds` and what is known of the file, or InvalidField for a name
    that no key can have.
    """

    def once() -> CheckedLora:
        with _told_of() as facts:
            found, sidecar = _found(store, ref, prefix, tenant, facts)
            lora = check(BucketRanges(store, found), base)
            return _agreed(CheckedLora(found, sidecar, lora), base)

    return _unless_replaced(once)


def fetch_lora(
    store: SafeStore,
    cache: LoraCache,
    ref: LoraRef,
    base: Base,
    prefix: str = LORAS,
    tenant: str | None = None,
) -> tuple[CheckedLora, CachedLora]:
    """The file on this machine, checked where it lies. Raises as `check_lora`."""

    def once() -> tuple[CheckedLora, CachedLora]:
        with _told_of() as facts:
            found, sidecar = _found(store, ref, prefix, tenant, facts)
            kept = facts.kept = cache.fetch(found, partial(download, store))
            _require_same(sidecar, kept, found)
            lora = check(FileRanges(kept.path), base)
            return _agreed(CheckedLora(found, sidecar, lora), base), kept

    return _unless_replaced(once)


@dataclass
class _Facts:
    found: Found | None = None
    kept: CachedLora | None = None


@contextmanager
def _told_of() -> Iterator[_Facts]:
    """An error inside says of the file what was known by then."""
    facts, began = _Facts(), time.monotonic()
    try:
        yield facts
    except LoraError as error:
        error.seconds = time.monotonic() - began
        if facts.found is not None:
            error.key, error.bytes = facts.found.key, facts.found.size
        if facts.kept is not None:
            error.sha256 = facts.kept.sha256
        raise


def _found(
    store: SafeStore, ref: LoraRef, prefix: str, tenant: str | None, facts: _Facts
) -> tuple[Found, Sidecar]:
    """Raises LoraNotFound for one of other tenants, of which nothing is told."""
    found = resolve(store, ref, prefix, tenant)
    facts.found = found
    sidecar = read_sidecar(store, found)
    if not sidecar.is_for(tenant):
        facts.found = None
        raise not_found(store, ref, prefix, tenant)
    return found, sidecar


def _require_same(sidecar: Sidecar, kept: CachedLora, found: Found) -> None:
    if sidecar.sha256 not in (None, kept.sha256):
        raise LoraUnreadable(
            f"{found.key} has sha256 {kept.sha256}, the file beside it says {sidecar.sha256}",
            hint="Upload the LoRA and its .json again, together.",
        )


def _agreed(checked: CheckedLora, base: Base) -> CheckedLora:
    stated = checked.sidecar.family
    if stated not in (None, base.family):
        raise LoraMismatch(
            f"the file beside {checked.found.key} says {stated}, the model is {base.family}",
            hint="Correct the .json, or choose another LoRA.",
        )
    return checked


def _unless_replaced(once: Callable[[], T]) -> T:
    """A file replaced between two looks is looked for again."""
    for _ in range(TRIES):
        try:
            return once()
        except Replaced as error:
            last = error
    raise LoraUnreadable(
        f"the LoRA was replaced {TRIES} times while it was read: {last}", hint="Submit again later."
    )

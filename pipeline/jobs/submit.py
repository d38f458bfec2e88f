"""Puts a manifest into the inbox: prepared and checked here, written once, told from a replay."""

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config.errors import BadManifest, IdConflict
from handlers.kinds.registry import KINDS
from pipeline.contract import tombstone
from pipeline.contract.document import canonical, read_document
from pipeline.contract.keys import DEFAULT_PRIORITY, check_id, inbox_key, is_name, manifest_key
from pipeline.contract.manifest import Manifest, parse_manifest
from pipeline.contract.result import Status
from pipeline.inputs.intake import InputImage, fetch_nothing, take_in
from pipeline.inputs.remote import Fetch
from pipeline.jobs.manifest_files import Source
from pipeline.jobs.status import State, bare_key, look_up
from pipeline.store.conditional import Lost, SafeStore

MAX_SOURCE_BYTES = 128 * 1024 * 1024
"""Of a manifest with pictures inside, before they are taken out of it."""
DEFAULT_TENANT = "default"


@dataclass(frozen=True)
class Options:
    """How manifests are submitted."""

    tenant: str = DEFAULT_TENANT
    """For manifests that name none."""
    id: str | None = None
    """In place of the one that the source gives."""
    bare: bool = False
    """Write inbox/<id>.json, which says nothing about the job."""
    check: bool = True
    """Whether a manifest that would be refused is refused here; without it, it is written as it
    is."""
    fetch: Fetch = fetch_nothing
    """Gets pictures that are named by a URL."""


@dataclass(frozen=True)
class Prepared:
    """A manifest ready to be written."""

    id: str
    key: str
    body: bytes
    images: tuple[InputImage, ...] = ()
    """To be written before the manifest that names them."""
    manifest: Manifest | None = None
    """What `body` says; None where it was not checked."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class Sent(StrEnum):
    SUBMITTED = "submitted"
    ALREADY = "already_there"
    """The same manifest under the same id: nothing was written."""


@dataclass(frozen=True)
class Receipt:
    id: str
    key: str
    sent: Sent
    state: State
    """Where the job is now."""
    status: Status | None = None
    """Of a job that was finished already."""


def new_id() -> str:
    """A UUIDv7 (RFC 9562, 5.7): ids made later sort later."""
    stamp = time.time_ns() // 1_000_000 & (1 << 48) - 1
    bits = stamp << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{bits:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def prepare(source: Source, options: Options) -> Prepared:
    """The manifest as it will stand in the bucket: only the fields given, no defaults.

    Raises a BadManifest or InvalidInput; without `check` only for an id that does not fit.
    """
    if not options.check:
        return _as_it_is(source, options)
    document = read_document(source.body, max_bytes=MAX_SOURCE_BYTES)
    id = check_id(_id(source, options, document))
    if options.tenant != DEFAULT_TENANT:
        document.setdefault("tenant", options.tenant)
    images: tuple[InputImage, ...] = ()
    kind, given = KINDS.get(str(document.get("model"))), document.get("input")
    if kind is not None and isinstance(given, dict):
        taken = take_in(given, kind.input_model, source.folder, options.fetch)
        document["input"], images = taken.input, taken.images
    body = canonical(document)
    manifest = parse_manifest(body)
    return Prepared(id, _key(id, document, options.bare), body, images, manifest)


def _id(source: Source, options: Options, document: dict[str, Any]) -> str:
    """A line's `id` stands beside the manifest's own fields and is taken out of them."""
    if source.file_id is not None:
        return options.id or source.file_id
    own = document.pop("id", None)
    return options.id or (new_id() if own is None else str(own))


def _as_it_is(source: Source, options: Options) -> Prepared:
    try:
        document = read_document(source.body, max_bytes=MAX_SOURCE_BYTES)
    except BadManifest:
        id = check_id(options.id or source.file_id or new_id())
        return Prepared(id, bare_key(id), source.body)
    brings_id = source.file_id is None and "id" in document
    id = check_id(_id(source, options, document))
    body = canonical(document) if brings_id else source.body
    return Prepared(id, _key(id, document, options.bare), body)


def _key(id: str, document: Mapping[str, Any], bare: bool) -> str:
    """The inbox key that says what the manifest says, as far as a key can say it."""
    model, tenant = document.get("model"), document.get("tenant", DEFAULT_TENANT)
    priority = document.get("priority", DEFAULT_PRIORITY)
    if bare or type(priority) is not int or not 0 <= priority <= 9:
        return bare_key(id)
    if not isinstance(model, str) or not isinstance(tenant, str):
        return bare_key(id)
    if not (is_name(model) and is_name(tenant)):
        return bare_key(id)
    return inbox_key(id, priority=priority, tenant=tenant, model=model)


class Twins:
    """Tells manifests of one run that would race for one id; the first that is asked about wins."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, Prepared]] = {}

    def is_repeat(self, name: str, job: Prepared) -> bool:
        """Whether this very manifest was asked about before. Raises IdConflict, which names both
        places, when another one with its id was."""
        first, other = self._first.setdefault(job.id, (name, job))
        if other is job:
            return False
        if other.body == job.body:
            return True
        raise IdConflict(
            f"the id {job.id} is given to two manifests: {first} and {name}",
            field="id",
            value=job.id,
            hint="Give each manifest an id of its own.",
        )


def submit(store: SafeStore, job: Prepared) -> Receipt:
    """Write its pictures, then the manifest, unless it is there already.

    Raises IdConflict when its id has another body, StoreUnavailable, StoreDenied.
    """
    if _adopted(store, job):
        return _already(store, job)
    for image in job.images:
        store.write(image.key, image.body, image.content_type)
    outcome = store.create(job.key, job.body)
    if isinstance(outcome, Lost):
        raise _conflict(job)
    if not outcome.fresh:
        return _already(store, job)
    _adopted(store, job)  # another body may have been adopted from another key meanwhile
    return Receipt(job.id, job.key, Sent.SUBMITTED, State.WAITING)


def _adopted(store: SafeStore, job: Prepared) -> bool:
    """Whether this very manifest was taken before."""
    there = store.get(manifest_key(job.id))
    if there is not None and there.body == tombstone.MANIFEST:
        raise IdConflict(
            f"the id {job.id} was used by a job that is forgotten",
            field="id",
            value=job.id,
            hint="Send it under another id.",
        )
    if there is not None and there.body != job.body:
        raise _conflict(job)
    return there is not None


def _already(store: SafeStore, job: Prepared) -> Receipt:
    view = look_up(store, [job.id])[job.id]
    status = view.result.status if view.result else None
    return Receipt(job.id, job.key, Sent.ALREADY, view.state, status)


def _conflict(job: Prepared) -> IdConflict:
    return IdConflict(f"the id {job.id} was used with another manifest", field="id", value=job.id)

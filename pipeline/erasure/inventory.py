"""Finds every object that holds or derives from what jobs show. It reads, and deletes nothing."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.errors import BatchError
from pipeline.batches.batch import batch_names, read_batch
from pipeline.contract.keys import (
    EXPORTS,
    INBOX,
    INTAKE,
    JOBS,
    OUTBOX,
    REJECTED,
    THUMBS,
    batch_key,
    cells_folder,
    input_sha256,
    intake_key,
    lease_key,
    manifest_key,
    outbox_key,
    plan_key,
    result_key,
    review_key,
    thumb_key,
)
from pipeline.contract.result import Result
from pipeline.contract.tombstone import is_tombstone_size
from pipeline.erasure.scan import Scan
from pipeline.erasure.scope import needed_by
from pipeline.erasure.trace import trace_of
from pipeline.jobs.audit.rules import named_files
from pipeline.jobs.status import inbox_id
from pipeline.sheets.cells import read_sheet
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore, listed

MAX_REJECTED_BYTES = 512 * 1024
"""Of an object under rejected/: it holds a body of at most half of that."""
_CLIPPED = 96
"""Characters of its name, where an entry's is longer."""


class Group(StrEnum):
    """What an object is, in the words that people are shown."""

    MANIFESTS = "manifests and results"
    """A tombstone takes the place of each."""
    STEPS = "plans and steps"
    OUTPUTS = "pictures and files made"
    INPUTS = "pictures sent"
    INTAKE = "who sent them"
    THUMBNAILS = "thumbnails"
    REVIEWS = "reviews"
    EXPORTS = "datasets"
    WAITING = "waiting entries"
    LEASES = "leases"
    REJECTED = "rejected entries"
    LORAS = "LoRAs"


@dataclass(frozen=True)
class Holding:
    """An object that goes."""

    group: Group
    key: str
    bytes: int
    etag: str = ""


@dataclass(frozen=True)
class Kept:
    """An object that would go, and is needed by somebody else."""

    key: str
    why: str


@dataclass(frozen=True)
class Wanted:
    """The jobs that are forgotten, and what was seen beside them."""

    ids: Collection[str]
    scan: Scan
    tenants: Collection[str]
    """Whose they are."""
    subject: str | None = None


def own_keys(id: str) -> tuple[str, ...]:
    """What begins the keys of objects that are a job's alone."""
    return (f"{JOBS}{id}/", f"{EXPORTS}{id}/", review_key(id), lease_key(id))


def own_objects(store: SafeStore, id: str) -> Iterator[Holding]:
    """What stands now of those that are the job's alone; of its folder all that LIST shows, since
    no result names what was lost. The two tombstones of a forgotten job are none of them."""
    for prefix in own_keys(id):
        for entry in listed(store, prefix):
            group = _own_group(id, entry)
            if group is not None:
                yield _holding(group, entry)


def _own_group(id: str, entry: Entry) -> Group | None:
    key = entry.key
    exact = {
        result_key(id): Group.MANIFESTS,
        manifest_key(id): Group.MANIFESTS,
        plan_key(id): Group.STEPS,
        review_key(id): Group.REVIEWS,
        lease_key(id): Group.LEASES,
    }
    if key == manifest_key(id) and is_tombstone_size(entry.size):
        return None
    if key in exact:
        return exact[key]
    if key.startswith(cells_folder(id)):
        return Group.STEPS
    if key.startswith(f"{EXPORTS}{id}/"):
        return Group.EXPORTS
    return Group.OUTPUTS if key.startswith(f"{JOBS}{id}/") else None


def picture_sha256s(store: SafeStore, id: str, result: Result | None) -> set[str]:
    """Of the pictures that a job made or reuses, by its result and the records of its steps."""
    found = {file.sha256 for file in named_files(result)} if result else set()
    sheet = read_sheet(store, id)
    views = sheet.records.views.values() if sheet else ()
    return found | {made.picture.sha256 for view in views for made in view.made}


def keys_beside(trace_inputs: Iterable[str], tenant: str | None, sha256s: set[str]) -> set[str]:
    """Keys outside the folder of a job that may go with it: the pictures that it names, this
    tenant's notes of having sent them, and thumbnails of them and of `sha256s`."""
    inputs = {*trace_inputs}
    sent = {sha256 for key in inputs if (sha256 := input_sha256(key))}
    notes = {intake_key(tenant, sha256) for sha256 in sent} if tenant else set[str]()
    return inputs | notes | {thumb_key(sha256) for sha256 in sent | sha256s}


@dataclass(frozen=True)
class Shared:
    """What is known of pictures that several jobs may name."""

    senders: Mapping[str, Collection[str]]
    """By sha256, the tenants that sent it over HTTP."""
    thumbs: Mapping[str, Entry]
    """By key, those of the thumbnails that stand."""


def read_shared(store: SafeStore, beside: Collection[str]) -> Shared:
    """A LIST of intake/ and of thumbs/, as far as any of these keys needs one."""
    senders: dict[str, set[str]] = {}
    thumbs: dict[str, Entry] = {}
    if any(input_sha256(key) for key in beside):
        for entry in listed(store, INTAKE):
            tenant, _, sha256 = entry.key.removeprefix(INTAKE).partition("/")
            senders.setdefault(sha256, set()).add(tenant)
    if any(key.startswith(THUMBS) for key in beside):
        thumbs = {entry.key: entry for entry in listed(store, THUMBS) if entry.key in beside}
    return Shared(senders, thumbs)


def beside_objects(
    store: SafeStore, wanted: Wanted, beside: Collection[str]
) -> tuple[list[Holding], list[Kept]]:
    """Which of these keys go, and which stay with the reason. A picture stays as long as another
    job or another tenant needs it; with it stays the note of a tenant whose other job does."""
    shared = read_shared(store, beside)
    going, kept = list[Holding](), list[Kept]()
    for key in sorted(beside):
        if key in shared.thumbs:
            going.append(_holding(Group.THUMBNAILS, shared.thumbs[key]))
            continue
        if key.startswith((THUMBS, INTAKE)):
            continue
        stored = store.get(key, limit=1)
        others = needed_by(wanted.scan.traces, key, wanted.ids)
        sha256 = input_sha256(key) or ""
        sent_by = {*shared.senders.get(sha256, ())}
        own = {tenant for tenant in sent_by if intake_key(tenant, sha256) in beside}
        why = [f"the job {each.id} needs it" for each in others[:1]]
        why += [f"{tenant} has sent it too" for tenant in sorted(sent_by - own)[:1]]
        if stored is not None and why:
            kept.append(Kept(key, " and ".join(why)))
        elif stored is not None:
            going.append(Holding(Group.INPUTS, key, stored.size, stored.etag))
        staying = {each.tenant for each in others}
        notes = (intake_key(tenant, sha256) for tenant in sorted(own - staying))
        going += [Holding(Group.INTAKE, note, len(key)) for note in notes]
    return going, kept


def told_elsewhere(store: SafeStore, wanted: Wanted) -> Iterator[Kept]:
    """What is left in objects of others: pictures that are reused of a job that stays, and the rows
    of batches, which have no picture, and a name."""
    for id in wanted.ids:
        reused = wanted.scan.traces[id].reuses if id in wanted.scan.traces else None
        if reused is not None and reused not in wanted.ids:
            yield Kept(f"{JOBS}{reused}/", f"{id} reuses views of it, and it is not forgotten")
    for name in batch_names(store):
        try:
            batch = read_batch(store, name)
        except BatchError:
            continue
        rows = [str(row.row) for row in batch.rows if row.id in wanted.ids] if batch else []
        if rows:
            yield Kept(batch_key(name), f"a batch never changes; it names rows {', '.join(rows)}")


def entries_of(store: SafeStore, wanted: Wanted) -> Iterator[Holding]:
    """What waits under these ids, and what was filed under rejected/ of them, or of the subject."""
    for entry in listed(store, INBOX):
        if inbox_id(entry.key) in wanted.ids:
            yield _holding(Group.WAITING, entry)
    filed = [entry for entry in listed(store, REJECTED) if _is_filed_of(store, wanted, entry)]
    yield from (_holding(Group.REJECTED, entry) for entry in filed)
    owed = {outbox_key(entry.key) for entry in filed}
    if owed:
        events = (entry for entry in listed(store, OUTBOX) if entry.key in owed)
        yield from (_holding(Group.REJECTED, entry) for entry in events)


def _is_filed_of(store: SafeStore, wanted: Wanted, entry: Entry) -> bool:
    """By its name it may be; what it holds says whether it is. For a subject all are read."""
    name = entry.key.removeprefix(REJECTED).partition(".")[0]
    by_name = len(name) >= _CLIPPED or any(
        name == id or name.endswith(f"-{id}") for id in wanted.ids
    )
    if not by_name and wanted.subject is None:
        return False
    stored = store.get(entry.key, limit=MAX_REJECTED_BYTES)
    try:
        document = json.loads(stored.body) if stored else None
    except (ValueError, RecursionError):  # a stranger's
        document = None
    if not isinstance(document, dict):
        return False
    if inbox_id(str(document.get("key"))) in wanted.ids:
        return True
    trace = trace_of("", str(document.get("body")).encode("utf-8", "surrogatepass"))
    return wanted.subject in trace.subjects and trace.tenant in wanted.tenants


def lora_objects(store: SafeStore, prefix: str, names: Collection[str]) -> Sequence[Holding]:
    """Files that were trained on a person of one of these names, with what lies beside them."""
    if not names:
        return []
    starts = tuple(
        f"{prefix}{kind}{name}{after}"
        for name in names
        for kind, after in (("character-", "."), ("flux-character-", "."), ("flux-character-", "/"))
    )
    return [
        _holding(Group.LORAS, entry)
        for entry in listed(store, prefix)
        if entry.key.startswith(starts)
    ]


def _holding(group: Group, entry: Entry) -> Holding:
    return Holding(group, entry.key, entry.size, entry.etag)

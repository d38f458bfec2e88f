"""What is a fault, given what was listed and read. Pure."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from events.stored_event import StoredEvent
from pipeline.contract import tombstone
from pipeline.contract.keys import (
    JOBS,
    cell_key,
    cells_folder,
    lease_key,
    manifest_key,
    metrics_key,
    plan_key,
    result_key,
)
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Erasure, Output, Result, ResultFile
from pipeline.jobs.audit.event_faults import event_faults
from pipeline.jobs.audit.faults import Fault, FaultKind, left_of_forgotten, no_lease
from pipeline.jobs.status import leased
from pipeline.notify.delivery import pending
from pipeline.queue.expiry import LeaseState, Lifetimes, ListedLease, lease_state

GRACE_S = 60.0
"""Beyond its life, until a lease is one that nobody takes over: a dispatcher that idles looks only
every quarter of a minute. A manifest this young may be one that is being submitted."""
VACANT = "vacant"
"""A lease whose claim found nothing to claim: it stays until its id is used."""


@dataclass(frozen=True)
class JobFolder:
    """What lies under jobs/<id>/."""

    id: str
    sizes: Mapping[str, int]
    """Bytes by whole key."""
    newest: datetime
    """When the last of them was written."""

    @property
    def has_manifest(self) -> bool:
        return manifest_key(self.id) in self.sizes

    @property
    def has_result(self) -> bool:
        return result_key(self.id) in self.sizes

    @property
    def records(self) -> frozenset[str]:
        """Keys of the records of a character sheet's steps."""
        folder = cells_folder(self.id)
        return frozenset(key for key in self.sizes if key.startswith(folder))

    def is_recorded(self, key: str) -> bool:
        """Whether it is a picture whose step has a record. One without was drawn, and its execution
        was killed before it could say so, or another one had taken the step before."""
        name = key.rpartition("/")[2].rpartition(".")[0]
        return key.startswith(f"{JOBS}{self.id}/out/") and cell_key(self.id, name) in self.sizes


@dataclass(frozen=True)
class HeldLease:
    """A lease as it was read."""

    listed: ListedLease
    date: datetime
    """The store's clock then."""

    @property
    def lease(self) -> Lease | None:
        return self.listed.lease

    @property
    def state(self) -> str:
        lease = self.lease
        if lease is not None and lease.vacant:
            return VACANT
        return leased(self.listed.id, lease, self.listed.entry.last_modified).state.value


@dataclass(frozen=True)
class Ended:
    """A job that has a result, and all that was read of it."""

    folder: JobFolder
    result: Result | None
    """None for one that cannot be read, or that is another job's."""
    manifest: bytes | None
    held: HeldLease | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    """By key, the sha256 of those outputs whose content was read."""


@dataclass(frozen=True)
class Verdict:
    """One job, judged."""

    id: str
    faults: tuple[Fault, ...] = ()
    status: str | None = None
    """Of its result."""
    state: str | None = None
    """Of its lease."""
    outputs: int = 0
    """That its result names, compositions too."""
    output_bytes: int = 0
    uuids: tuple[str, ...] = ()
    """Of its events, each once."""
    waste: int = 0
    """Objects that no result names."""
    waste_bytes: int = 0
    unclear: bool = False
    """A manifest without result, lease or entry: to be looked at once more, since jobs move."""


def judge_ended(job: Ended, lifetimes: Lifetimes) -> Verdict:
    id, result, sizes = job.folder.id, job.result, job.folder.sizes
    faults = [*_of_result(job), *lease_faults(job.held, lifetimes, job=True, result=result)]
    carried = job.held.lease.events if job.held and job.held.lease else ()
    events = (*(result.events if result else ()), *carried)
    faults += event_faults(events, result_key(id))
    outputs = [] if result is None else named_files(result)
    unnamed = set() if result is None else sizes.keys() - _of_job(job.folder, result)
    waste = [sizes[key] for key in unnamed if not job.folder.is_recorded(key)]
    return Verdict(
        id,
        tuple(faults),
        status="unreadable" if result is None else result.status.value,
        state=None if job.held is None else job.held.state,
        outputs=len(outputs),
        output_bytes=sum(output.bytes for output in outputs),
        uuids=_uuids(events),
        waste=len(waste),
        waste_bytes=sum(waste),
    )


def judge_held(held: HeldLease, lifetimes: Lifetimes, *, job: bool) -> Verdict:
    """A job without a result that has a lease. `job` says whether it has a manifest or an entry."""
    events = held.lease.events if held.lease else ()
    faults = [*lease_faults(held, lifetimes, job=job)]
    faults += event_faults(events, lease_key(held.listed.id))
    return Verdict(held.listed.id, tuple(faults), state=held.state, uuids=_uuids(events))


def judge_missing(folder: JobFolder, now: datetime) -> Verdict:
    """A job that was looked for everywhere, and has neither result nor lease nor entry."""
    if not folder.has_manifest or (now - folder.newest).total_seconds() < GRACE_S:
        return Verdict(folder.id)
    found = (
        "neither result nor lease nor inbox entry: nobody will run it."
        " A POST that was cut off before its answer leaves the same"
    )
    return Verdict(folder.id, (Fault(FaultKind.LOST, manifest_key(folder.id), found),))


def judge_waste(folder: JobFolder) -> Verdict:
    """Objects that belong to no job."""
    return Verdict(folder.id, waste=len(folder.sizes), waste_bytes=sum(folder.sizes.values()))


def named_files(result: Result) -> list[Output | ResultFile]:
    """Every file that it names, compositions too."""
    before = [output.composition for output in result.outputs if output.composition is not None]
    return [*result.outputs, *before, *result.files]


def _of_job(folder: JobFolder, result: Result) -> set[str]:
    """The keys that belong to an ended job. Any other is of an attempt that was lost or failed, or
    a picture of a sheet: `is_recorded`."""
    metrics = metrics_key(result.id, result.attempt)
    own = {manifest_key(result.id), result_key(result.id), plan_key(result.id), metrics}
    return own | folder.records | {file.key for file in named_files(result)}


def _of_result(job: Ended) -> Iterator[Fault]:
    id, result = job.folder.id, job.result
    if job.manifest is None:
        yield Fault(FaultKind.MANIFEST_MISSING, manifest_key(id), "its job has a result")
    if result is None:
        yield Fault(FaultKind.RESULT_UNREADABLE, result_key(id), "no result of this job")
        return
    if result.erasure is not None:
        yield from _of_forgotten(job, result, result.erasure)
        return
    if job.manifest is not None:
        found = hashlib.sha256(job.manifest).hexdigest()
        if found != result.manifest_sha256:
            wanted = f"its sha256 is {found}, the result says {result.manifest_sha256}"
            yield Fault(FaultKind.MANIFEST_DIFFERS, manifest_key(id), wanted)
    if job.folder.records and plan_key(id) not in job.folder.sizes:
        yield Fault(FaultKind.PLAN_MISSING, plan_key(id), "its steps have records")
    for file in named_files(result):
        yield from _of_output(file, job.folder.sizes, job.digests)


def _of_forgotten(job: Ended, result: Result, erasure: Erasure) -> Iterator[Fault]:
    """Nothing but its two tombstones may be left, once that is said."""
    if erasure.ended_at is None:
        found = f"it is not forgotten yet: `ryla forget --job {result.id}` goes on"
        yield Fault(FaultKind.ERASURE_UNFINISHED, result_key(result.id), found)
        return
    left = job.folder.sizes.keys() - {result_key(result.id), manifest_key(result.id)}
    if job.manifest is not None and job.manifest != tombstone.MANIFEST:
        left = left | {manifest_key(result.id)}
    yield from (left_of_forgotten(result.id, key) for key in sorted(left))


def _of_output(
    output: Output | ResultFile, sizes: Mapping[str, int], digests: Mapping[str, str]
) -> Iterator[Fault]:
    size, digest = sizes.get(output.key), digests.get(output.key, output.sha256)
    if size is None:
        yield Fault(FaultKind.OUTPUT_MISSING, output.key, "its result names it")
    elif size != output.bytes:
        found = f"{size} bytes, the result says {output.bytes}"
        yield Fault(FaultKind.OUTPUT_SIZE, output.key, found)
    elif digest != output.sha256:
        found = f"its sha256 is {digest}, the result says {output.sha256}"
        yield Fault(FaultKind.OUTPUT_CONTENT, output.key, found)


def lease_faults(
    held: HeldLease | None, lifetimes: Lifetimes, *, job: bool, result: Result | None = None
) -> Iterator[Fault]:
    if held is None:
        return
    key, lease = held.listed.entry.key, held.lease
    if lease is None:
        yield no_lease(key)
    elif result is not None and not pending(result, lease):
        yield Fault(FaultKind.LEASE_LEFT, key, "its job has ended and owes nothing")
    elif _lapsed(held, lease, lifetimes):
        age = (held.date - held.listed.entry.last_modified).total_seconds()
        found = f"{lease.phase} for {age:.0f} s, and its life is {lease.ttl_s:g} s"
        kind = FaultKind.LEASE_LAPSED if job else FaultKind.LEASE_OF_NOTHING
        yield Fault(kind, key, found)


def _lapsed(held: HeldLease, lease: Lease, lifetimes: Lifetimes) -> bool:
    """One that waits for its retry never does: it may wait for a place."""
    if lease.phase is Phase.RETRY and not lease.vacant:
        return False
    patient = replace(lifetimes, margin_s=lifetimes.margin_s + GRACE_S)
    return lease_state(held.listed, held.date, None, patient) is LeaseState.DUE


def _uuids(events: Iterable[StoredEvent]) -> tuple[str, ...]:
    return tuple({event.uuid: None for event in events})

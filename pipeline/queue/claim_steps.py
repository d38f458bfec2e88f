"""How a dispatcher takes one job: claim or take over, adopt, judge, spawn.

Claim ──────┐                                      ┌─ refused ─ Commit ─ DropEntry ─ Committed
            │                                      ├─ left to a newer version: HandBack
            ├─ ReadEntry ─ Adopt ─ CheckResult ─ Decide ─ Launch ─ DropEntry ─ Spawned
TakeOver ───┤      └ gone ┐  └ another body: Conflict ┘ │     └ engine refuses: HandBack
            └──── FindManifest ── none: Release         └ a result: DropEntry ─ Confirm ─ Finished
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from pipeline.contract.keys import MAX_BYTES
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Result
from pipeline.queue.protocol import (
    Committed,
    CreateLease,
    CreateManifest,
    CreateResult,
    DropInbox,
    End,
    Finished,
    HandedBack,
    NotMine,
    Preflight,
    ReadInbox,
    ReadManifest,
    ReadResult,
    RejectConflict,
    ReplaceLease,
    Spawn,
    Spawned,
    Step,
)
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.base import Stored
from pipeline.store.conditional import Outcome, Won

_TOO_LARGE = re.compile(rb'\{"too_large": \{"bytes": ([0-9]+), "etag": "[^"]*"\}\}')


@dataclass(frozen=True)
class ClaimTask:
    """What is known of the job on its way."""

    lease: Lease
    first_claim: bool
    entry: str | None = None
    """The inbox key that was read, to be deleted once its bytes are in the manifest."""
    entry_etag: str = ""
    etag: str = ""
    """Of the lease."""
    body: bytes = b""


@dataclass(frozen=True)
class Claim:
    task: ClaimTask

    @property
    def call(self) -> CreateLease:
        return CreateLease(self.task.lease)

    def next(self, reply: Outcome) -> Step | End:
        if not isinstance(reply, Won):
            return NotMine()
        return ReadEntry(replace(self.task, etag=reply.etag))


@dataclass(frozen=True)
class TakeOver:
    task: ClaimTask
    listed_etag: str
    unstarted: str | None = None
    """The claim that it replaces, where no worker has started that: its call may be cancelled."""

    @property
    def call(self) -> ReplaceLease:
        return ReplaceLease(self.task.lease, self.listed_etag)

    def next(self, reply: Outcome) -> Step | End:
        if not isinstance(reply, Won):
            return NotMine()
        task = replace(self.task, etag=reply.etag)
        # Any later phase than `claimed` had its manifest written before.
        return ReadEntry(task) if task.lease.phase is Phase.CLAIMED else FindManifest(task)


@dataclass(frozen=True)
class ReadEntry:
    """The listing may be stale: only what is read after the claim counts."""

    task: ClaimTask

    @property
    def call(self) -> ReadInbox:
        return ReadInbox(self.task.lease.entry)

    def next(self, reply: Stored | None) -> Step | End:
        if reply is None:
            return FindManifest(self.task)
        body = reply.body if reply.size <= MAX_BYTES else too_large(reply)
        entry = self.task.lease.entry
        return Adopt(replace(self.task, entry=entry, entry_etag=reply.etag, body=body))


def too_large(stored: Stored) -> bytes:
    """What stands in manifest.json for a body that is too large to copy."""
    return json.dumps({"too_large": {"bytes": stored.size, "etag": stored.etag}}).encode()


def size_of_too_large(body: bytes) -> int | None:
    """The size that `too_large` noted, or None for a body that is a manifest, good or bad."""
    noted = _TOO_LARGE.fullmatch(body)
    return None if noted is None else int(noted[1])


@dataclass(frozen=True)
class FindManifest:
    task: ClaimTask

    @property
    def call(self) -> ReadManifest:
        return ReadManifest(self.task.lease.id)

    def next(self, reply: Stored | None) -> Step | End:
        if reply is None:
            return Release(self.task)
        return CheckResult(replace(self.task, body=reply.body))


@dataclass(frozen=True)
class Release:
    """Neither inbox entry nor manifest: the claim had nothing to claim.

    Deleting the lease would be simpler, and wrong: it may be another's by now, with the entry put
    again and adopted.
    """

    task: ClaimTask

    @property
    def call(self) -> ReplaceLease:
        return ReplaceLease(self.task.lease.vacated(), self.task.etag)

    def next(self, reply: Outcome) -> Step | End:
        return NotMine()


@dataclass(frozen=True)
class Adopt:
    task: ClaimTask

    @property
    def call(self) -> CreateManifest:
        return CreateManifest(self.task.lease.id, self.task.body)

    def next(self, reply: Outcome) -> Step | End:
        if isinstance(reply, Won):
            # Only a manifest that is certainly new has certainly no result.
            return Decide(self.task) if reply.fresh else CheckResult(self.task)
        assert reply.current is not None
        return Conflict(self.task, reply.current.body)


@dataclass(frozen=True)
class Conflict:
    """Another body for a used id: filed and removed; the job goes on with the body it has."""

    task: ClaimTask
    adopted: bytes

    @property
    def call(self) -> RejectConflict:
        assert self.task.entry is not None
        return RejectConflict(self.task.entry, self.task.body)

    def next(self, reply: None) -> Step | End:
        assert self.task.entry is not None
        rest = CheckResult(replace(self.task, entry=None, entry_etag="", body=self.adopted))
        return DropEntry(self.task.entry, self.task.entry_etag, rest)


@dataclass(frozen=True)
class CheckResult:
    task: ClaimTask

    @property
    def call(self) -> ReadResult:
        return ReadResult(self.task.lease.id)

    def next(self, reply: Stored | None) -> Step | End:
        if reply is None:
            return Decide(self.task)
        return _drop_entry(self.task, _finished(self.task, reply))


@dataclass(frozen=True)
class Confirm:
    """A first claim that finds a result is a duplicate, and owes no events. Unless it was taken
    over meanwhile: then the result may be that of a job in progress, and its lease another's."""

    task: ClaimTask
    result: Stored

    @property
    def call(self) -> ReplaceLease:
        return ReplaceLease(self.task.lease.with_(committed=True), self.task.etag)

    def next(self, reply: Outcome) -> Step | End:
        if not isinstance(reply, Won):
            return NotMine()
        return Finished(self.result, self.call.lease, reply.etag, first_claim=True)


@dataclass(frozen=True)
class Decide:
    """Validated only now, so that a manifest that kills dispatchers is counted by its attempts."""

    task: ClaimTask

    @property
    def call(self) -> Preflight:
        return Preflight(self.task.lease, self.task.etag, self.task.body)

    def next(self, reply: SpawnPayload | Result | Lease) -> Step | End:
        if isinstance(reply, Lease):
            return HandBack(reply, self.task.etag)
        return Commit(self.task, reply) if isinstance(reply, Result) else Launch(self.task, reply)


@dataclass(frozen=True)
class Launch:
    task: ClaimTask
    payload: SpawnPayload

    @property
    def call(self) -> Spawn:
        return Spawn(self.payload, self.task.lease)

    def next(self, reply: Lease | None) -> Step | End:
        if reply is not None:
            return HandBack(reply, self.task.etag)
        return _drop_entry(self.task, Spawned(self.payload, self.task.lease, self.task.body))


@dataclass(frozen=True)
class HandBack:
    lease: Lease
    etag: str

    @property
    def call(self) -> ReplaceLease:
        return ReplaceLease(self.lease, self.etag)

    def next(self, reply: Outcome) -> Step | End:
        return HandedBack()


@dataclass(frozen=True)
class Commit:
    task: ClaimTask
    result: Result

    @property
    def call(self) -> CreateResult:
        return CreateResult(self.result)

    def next(self, reply: Outcome) -> Step | End:
        if isinstance(reply, Won):
            then: Step | End = Committed(self.result, self.task.lease, self.task.etag)
        else:
            assert reply.current is not None
            then = _finished(replace(self.task, first_claim=False), reply.current)
        return _drop_entry(self.task, then)


@dataclass(frozen=True)
class DropEntry:
    """Only reached after the entry's bytes were compared with manifest.json, or filed."""

    key: str
    etag: str
    then: Any
    """The Step or End that follows."""

    @property
    def call(self) -> DropInbox:
        return DropInbox(self.key, self.etag)

    def next(self, reply: None) -> Step | End:
        following: Step | End = self.then
        return following


def _drop_entry(task: ClaimTask, then: Step | End) -> Step | End:
    return then if task.entry is None else DropEntry(task.entry, task.entry_etag, then)


def _finished(task: ClaimTask, stored: Stored) -> Step | End:
    if task.first_claim:
        return Confirm(task, stored)
    return Finished(stored, task.lease, task.etag, first_claim=False)

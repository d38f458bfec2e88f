"""The vocabulary of the protocol: what a step asks for, and how a procedure ends.

A procedure (claim_steps.py, start_steps.py, cancel_steps.py) is a chain of frozen states. Each
state names one call; its `next` turns the reply into the following state. Nothing here does I/O: a
runner performs the calls on a store, and tests/pipeline/queue/test_exhaustive.py walks all their
interleavings.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.contract.lease import Lease
from pipeline.contract.result import Result
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.base import Stored


@dataclass(frozen=True)
class CreateLease:
    """Reply: Outcome."""

    lease: Lease


@dataclass(frozen=True)
class ReplaceLease:
    """Reply: Outcome."""

    lease: Lease
    etag: str


@dataclass(frozen=True)
class DropLease:
    """Reply: None."""

    id: str


@dataclass(frozen=True)
class ReadInbox:
    """Reply: Stored, at most a byte more than a manifest may have, or None."""

    key: str


@dataclass(frozen=True)
class DropInbox:
    """Delete the entry that was read, and no other. Reply: None.

    Only where the store's DELETE is conditional: elsewhere what was put since goes as well.
    """

    key: str
    etag: str


@dataclass(frozen=True)
class ReadManifest:
    """Reply: Stored or None."""

    id: str


@dataclass(frozen=True)
class CreateManifest:
    """Reply: Outcome."""

    id: str
    body: bytes


@dataclass(frozen=True)
class ReadResult:
    """Reply: Stored or None."""

    id: str


@dataclass(frozen=True)
class CreateResult:
    """Reply: Outcome."""

    result: Result


@dataclass(frozen=True)
class RejectConflict:
    """File the body of a used id under rejected/. Reply: None."""

    key: str
    body: bytes


@dataclass(frozen=True)
class Preflight:
    """May this job be spawned? Reply: SpawnPayload (yes), Result (refused), or the lease to hand
    back, for a newer version to decide."""

    lease: Lease
    etag: str
    body: bytes


@dataclass(frozen=True)
class Spawn:
    """Hand it to the engine. Reply: None, or the lease to hand back because the engine refused."""

    payload: SpawnPayload
    lease: Lease


Call = (
    CreateLease
    | ReplaceLease
    | DropLease
    | ReadInbox
    | DropInbox
    | ReadManifest
    | CreateManifest
    | ReadResult
    | CreateResult
    | RejectConflict
    | Preflight
    | Spawn
)


class End:
    """How a procedure ended."""


@dataclass(frozen=True)
class NotMine(End):
    """Someone else has the job, or there is none."""


@dataclass(frozen=True)
class Spawned(End):
    """The engine took it; the lease is the worker's from now on."""

    payload: SpawnPayload
    lease: Lease
    body: bytes
    """Of the manifest."""


@dataclass(frozen=True)
class HandedBack(End):
    """The engine refused; the job waits for its take-over."""


@dataclass(frozen=True)
class Committed(End):
    """Our result stands. Its events are owed, and after them the lease goes."""

    result: Result
    lease: Lease | None
    """None where no lease was held: a cancel. `etag` is then empty."""
    etag: str


@dataclass(frozen=True)
class Finished(End):
    """A result was there already: what is left is cleaning up."""

    stored: Stored
    lease: Lease
    etag: str
    first_claim: bool
    """True: a duplicate submission, nothing was in progress. False: taken over, events are owed."""


@dataclass(frozen=True)
class Started(End):
    """This execution owns the lease."""

    lease: Lease
    etag: str


@dataclass(frozen=True)
class Stale(End):
    """The lease has moved on: this execution ends without touching anything."""


class Step(Protocol):
    """One state of a procedure."""

    @property
    def call(self) -> Call: ...

    def next(self, reply: Any) -> "Step | End":
        """The state after this reply, whose type the call names."""

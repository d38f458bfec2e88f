"""How a job is cancelled: by committing its result. Whoever runs it loses its lease.

Look ─ FindAdopted ─ ReadWaiting ─ AdoptWaiting ─ CommitCancel ─ Committed
  └ has a result, or unknown id, or lost the race: NotMine
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pipeline.contract.keys import MAX_BYTES
from pipeline.contract.result import Result
from pipeline.queue.protocol import (
    Committed,
    CreateManifest,
    CreateResult,
    End,
    NotMine,
    ReadInbox,
    ReadManifest,
    ReadResult,
    Step,
)
from pipeline.store.base import Stored
from pipeline.store.conditional import Outcome, Won


@dataclass(frozen=True)
class Cancellation:
    id: str
    inbox_key: str | None
    """Where it waits, if it was found waiting."""
    result: Callable[[bytes], Result]
    """The `cancelled` result for these manifest bytes."""


@dataclass(frozen=True)
class FindLease:
    cancellation: Cancellation

    @property
    def call(self) -> ReadResult:
        return ReadResult(self.cancellation.id)

    def next(self, reply: Stored | None) -> Step | End:
        return FindAdopted(self.cancellation) if reply is None else NotMine()


@dataclass(frozen=True)
class FindAdopted:
    cancellation: Cancellation

    @property
    def call(self) -> ReadManifest:
        return ReadManifest(self.cancellation.id)

    def next(self, reply: Stored | None) -> Step | End:
        if reply is not None:
            return CommitCancel(self.cancellation.result(reply.body))
        return NotMine() if self.cancellation.inbox_key is None else ReadWaiting(self.cancellation)


@dataclass(frozen=True)
class ReadWaiting:
    cancellation: Cancellation

    @property
    def call(self) -> ReadInbox:
        assert self.cancellation.inbox_key is not None
        return ReadInbox(self.cancellation.inbox_key)

    def next(self, reply: Stored | None) -> Step | End:
        if reply is None:  # Gone meanwhile: a dispatcher adopted it, so the manifest is there now.
            return FindLease(replace(self.cancellation, inbox_key=None))
        if reply.size > MAX_BYTES:  # The dispatcher is about to reject it.
            return NotMine()
        return AdoptWaiting(self.cancellation, reply.body)


@dataclass(frozen=True)
class AdoptWaiting:
    """The inbox entry stays: only a dispatcher deletes it, after comparing the bytes."""

    cancellation: Cancellation
    body: bytes

    @property
    def call(self) -> CreateManifest:
        return CreateManifest(self.cancellation.id, self.body)

    def next(self, reply: Outcome) -> Step | End:
        if isinstance(reply, Won):
            return CommitCancel(self.cancellation.result(self.body))
        assert reply.current is not None
        return CommitCancel(self.cancellation.result(reply.current.body))


@dataclass(frozen=True)
class CommitCancel:
    result: Result

    @property
    def call(self) -> CreateResult:
        return CreateResult(self.result)

    def next(self, reply: Outcome) -> Step | End:
        return Committed(self.result, None, "") if isinstance(reply, Won) else NotMine()

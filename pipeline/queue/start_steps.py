"""How an execution makes the lease its own before it touches ComfyUI.

    Start ─ won ───────────────────────────────────────── Started
      └ lost ─ same claim, still running? ─ AskResult ─ Restart ─ won ─ Started
                 └ no: Stale                  └ there: Stale  └ lost: Stale

The platform may run the same input twice, at once or one after the other. The second execution
finds its own claim in the lease with another nonce, and goes on as the next attempt: the first
learns of it at its next renewal, and their outputs lie in different folders.
"""

from dataclasses import dataclass
from datetime import datetime

from pipeline.contract.lease import Lease, Phase
from pipeline.queue.bounds import exhausted
from pipeline.queue.protocol import End, ReadResult, ReplaceLease, Stale, Started, Step
from pipeline.store.base import Stored
from pipeline.store.conditional import Outcome, Won


@dataclass(frozen=True)
class Execution:
    """Who starts."""

    nonce: str
    owner: str
    call_id: str | None
    """The platform's name of this execution, if it has one."""
    ttl_s: float
    """How long the running lease may last without a renewal."""
    rate_usd_per_s: float
    now: datetime
    """By the store's clock."""
    max_failures: int
    """RYLA_MAX_ATTEMPTS."""
    cold_s: float = 0.0
    """What the worker's start took, where this job pays for it."""

    def lease(self, base: Lease, attempt: int) -> Lease:
        return base.started(
            nonce=self.nonce,
            owner=self.owner,
            attempt=attempt,
            call_id=self.call_id,
            ttl_s=self.ttl_s,
            rate_usd_per_s=self.rate_usd_per_s,
            now=self.now,
            cold_s=self.cold_s,
        )


@dataclass(frozen=True)
class Start:
    execution: Execution
    claimed: Lease
    """The lease as the payload has it, at `etag`."""
    etag: str

    @property
    def call(self) -> ReplaceLease:
        return ReplaceLease(self.execution.lease(self.claimed, self.claimed.attempt), self.etag)

    def next(self, reply: Outcome) -> Step | End:
        if isinstance(reply, Won):
            return Started(self.call.lease, reply.etag)
        if reply.current is None:
            return Stale()
        current = Lease.parse(reply.current.body)
        if current is None or not self._runs_again(current):
            return Stale()
        return AskResult(Restart(self.execution, current, reply.current.etag))

    def _runs_again(self, current: Lease) -> bool:
        again = self.execution.lease(current, current.attempt + 1)
        return (
            current.claim == self.claimed.claim
            and current.phase is Phase.RUNNING
            and exhausted(again, self.execution.max_failures) is None
        )


@dataclass(frozen=True)
class Restart:
    execution: Execution
    current: Lease
    etag: str

    @property
    def call(self) -> ReplaceLease:
        return ReplaceLease(self.execution.lease(self.current, self.current.attempt + 1), self.etag)

    def next(self, reply: Outcome) -> Step | End:
        return Started(self.call.lease, reply.etag) if isinstance(reply, Won) else Stale()


@dataclass(frozen=True)
class AskResult:
    """An execution that committed keeps its lease until its events are out: do not pay again."""

    restart: Restart

    @property
    def call(self) -> ReadResult:
        return ReadResult(self.restart.current.id)

    def next(self, reply: Stored | None) -> Step | End:
        return self.restart if reply is None else Stale()

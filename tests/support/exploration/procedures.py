"""What comes before and after the procedures of pipeline/queue, as further steps.

Worker:     LookBefore ─ Start ─ Executing ─┬─ Renew ─ LookAfter ─ Executing
                               ├─ KeepCell ─ Executing, for each step of a sheet
                               ├─ CommitWork ─ Deliver ─┬─ DropOwn
                               ├─ GiveBack              └─ Owe
                               └─ MakeRoom, after a step
Dispatcher: … Committed or Finished ─ Deliver …
Canceller:  … Committed ─ FindLease ─ OweCancel ─ Deliver …
Both, before they commit the result of a sheet: ReadCells
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from pydantic import SecretStr

from config.budgets import BudgetTable
from config.settings import Settings
from events.sink import NotDelivered
from pipeline.contract.lease import Lease, Phase, Progress
from pipeline.contract.result import Result, Status
from pipeline.contract.spend_entry import SpendEntry
from pipeline.contract.stops import ScopeKind, Stops, StopScope
from pipeline.dispatcher.gate import OPEN, Gate
from pipeline.dispatcher.preflight import preflight
from pipeline.notify.delivery import Pending, ResultDelivery, pending
from pipeline.queue.budgets import Ledger
from pipeline.queue.cancel_steps import CommitCancel
from pipeline.queue.claim_steps import Commit
from pipeline.queue.protocol import (
    Committed,
    CreateLease,
    CreateResult,
    DropLease,
    End,
    Finished,
    NotMine,
    Preflight,
    ReplaceLease,
    Stale,
    Started,
    Step,
)
from pipeline.queue.start_steps import Start
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.base import Stored
from pipeline.store.conditional import Lost, Outcome, Won
from tests.support.exploration.scenario import HOST

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""The store's clock stands still: when a lease is due is the explorer's choice."""


AWAY = NotDelivered("away")
ALL_STOPPED = Gate(Stops(frozenset({StopScope(ScopeKind.ALL)})))
BUDGETS = BudgetTable.model_validate({"budgets": {"total": {"usd": 1.0}}})
FULL = Gate(ledger=Ledger(BUDGETS, NOW.date(), "explorer"))
"""What a tick sees when nothing is left of the one budget."""
assert FULL.ledger is not None
FULL.ledger.add_ended([SpendEntry(NOW.date(), "another", 10_000)])


class _StandingClock:
    def now(self) -> datetime:
        return NOW


@dataclass(frozen=True)
class Rules:
    """What the real decisions are made with."""

    runtime: RuntimeConfig
    delivery: ResultDelivery
    gate: Gate
    """Where the job is stopped."""

    @classmethod
    def of(cls, max_attempts: int, gate: Gate = OPEN) -> "Rules":
        settings = Settings(
            max_attempts=max_attempts,
            callback_hosts=HOST,
            callback_secret=SecretStr("s"),
        )
        clock, nobody = cast(Any, _StandingClock()), cast(Any, None)
        delivery = ResultDelivery(clock, nobody, settings, jitter=lambda: 0.5)
        return cls(load_runtime(settings, "explorer"), delivery, gate)

    def preflight(self, ask: Preflight, *, stopped: bool) -> Any:
        gate = self.gate if stopped else OPEN
        return preflight(ask, self.runtime, NOW, why_waits=gate.why_waits)


@dataclass(frozen=True)
class Executing(End):
    """The worker has its lease: it may renew, commit or give back, whatever comes first."""

    lease: Lease
    etag: str
    renewals: int
    """Left."""
    callback_url: str | None = None
    cells: tuple[str, ...] = ()
    """Of a sheet: the records that this execution goes by, its own or adopted."""
    kept: int = 0
    """Steps that it has taken itself."""
    looks: bool = False
    """Whether each renewal looks for a stop."""
    halted: bool = False
    """Whether one has found it."""


@dataclass(frozen=True)
class Renew:
    before: Executing

    @property
    def call(self) -> ReplaceLease:
        at = self.before
        return ReplaceLease(at.lease.with_(progress=Progress(fraction=0.5)), at.etag)

    def next(self, reply: Outcome) -> Step | End:
        if not isinstance(reply, Won):
            return Stale()
        left = self.before.renewals - 1
        renewed = replace(self.before, lease=self.call.lease, etag=reply.etag, renewals=left)
        return cast(Step, LookAfter(renewed)) if renewed.looks else renewed


@dataclass(frozen=True)
class ReadStops:
    """Reply: bool, whether the job is stopped."""


@dataclass(frozen=True)
class LookBefore:
    """As `execution._begin`, and `_not_begun` where the job is stopped."""

    start: Start

    @property
    def call(self) -> ReadStops:
        return ReadStops()

    def next(self, reply: bool) -> Any:
        return Halt(self.start.claimed, self.start.etag) if reply else self.start


@dataclass(frozen=True)
class LookAfter:
    """What follows each renewal of a heartbeat."""

    renewed: Executing

    @property
    def call(self) -> ReadStops:
        return ReadStops()

    def next(self, reply: bool) -> Any:
        return replace(self.renewed, halted=reply)


@dataclass(frozen=True)
class Halt:
    """A stopped job is handed back."""

    lease: Lease
    etag: str

    @property
    def call(self) -> ReplaceLease:
        return ReplaceLease(self.lease.waiting(not_before=NOW, started_at=None), self.etag)

    def next(self, reply: Outcome) -> Step | End:
        return Stale()


@dataclass(frozen=True)
class CreateCell:
    """Reply: Outcome."""

    number: int
    body: bytes


@dataclass(frozen=True)
class ReadCell:
    """Reply: Stored or None."""

    number: int


@dataclass(frozen=True)
class KeepCell:
    """A step of a sheet: its record is created, or the one that stands is adopted. Whoever has lost
    the lease and does not know it yet does the same."""

    before: Executing

    @property
    def call(self) -> CreateCell:
        at = self.before
        number = len(at.cells)
        return CreateCell(number, f"{at.lease.nonce}/a{at.lease.attempt}/{number}".encode())

    def next(self, reply: Outcome) -> Step | End:
        stands = self.call.body
        if isinstance(reply, Lost) and reply.current is not None:
            stands = reply.current.body
        at = self.before
        return replace(at, cells=(*at.cells, stands.decode()), kept=at.kept + 1)


@dataclass(frozen=True)
class MakeRoom:
    """The execution hands a sheet back between two steps."""

    lease: Lease
    etag: str

    @property
    def call(self) -> ReplaceLease:
        return ReplaceLease(self.lease.yielded(NOW), self.etag)

    def next(self, reply: Outcome) -> Step | End:
        return Stale()


@dataclass(frozen=True)
class ReadCells:
    """Whoever ends a sheet that he did not make reads its records first."""

    steps: int
    then: Commit | CommitCancel
    found: tuple[str | None, ...] = ()

    @property
    def call(self) -> ReadCell:
        return ReadCell(len(self.found))

    def next(self, reply: Stored | None) -> Any:
        found = (*self.found, None if reply is None else reply.body.decode())
        if len(found) < self.steps:
            return replace(self, found=found)
        return replace(self.then, result=naming(self.then.result, found))


def naming(result: Result, cells: tuple[str | None, ...]) -> Result:
    """The result with the records that it is told from."""
    return result.model_copy(update={"metadata": {"cells": list(cells)}})


@dataclass(frozen=True)
class CommitWork:
    lease: Lease
    etag: str
    callback_url: str | None = None
    cells: tuple[str, ...] = ()

    @property
    def call(self) -> CreateResult:
        lease = self.lease
        return CreateResult(
            naming(self._result(lease), self.cells) if self.cells else self._result(lease)
        )

    def _result(self, lease: Lease) -> Result:
        return Result(
            id=lease.id,
            status=Status.SUCCEEDED,
            model=lease.model,
            tenant=lease.tenant,
            attempt=lease.attempt,
            nonce=lease.nonce,
            manifest_sha256="",
            finished_at=NOW,
            callback_url=self.callback_url,
        )

    def next(self, reply: Outcome) -> Step | End:
        if not isinstance(reply, Won):
            return Stale()
        return cast(Step, Deliver(self.call.result, self.lease, self.etag))


@dataclass(frozen=True)
class GiveBack:
    """An error that may pass."""

    lease: Lease
    etag: str

    @property
    def call(self) -> ReplaceLease:
        failed = self.lease.with_(failures=self.lease.failures + 1)
        return ReplaceLease(failed.waiting(not_before=NOW, started_at=None), self.etag)

    def next(self, reply: Outcome) -> Step | End:
        return Stale()


@dataclass(frozen=True)
class Delivering:
    """Reply: those of the debts that the other sides confirmed."""

    owed: tuple[Pending, ...]


@dataclass(frozen=True)
class Deliver:
    """As `ResultDelivery.deliver`."""

    result: Result
    lease: Lease
    etag: str
    marked: bool = False
    """Whether the lease says already that it is pending."""

    @property
    def call(self) -> Delivering:
        return Delivering(tuple(pending(self.result, self.lease)))

    def next(self, arrived: tuple[Pending, ...]) -> Any:
        if arrived == self.call.owed:
            return DropOwn(self.lease)
        return NotMine() if self.marked else Owe(self.result, self.lease, self.etag, arrived)


@dataclass(frozen=True)
class DropOwn:
    lease: Lease

    @property
    def call(self) -> DropLease:
        return DropLease(self.lease.id)

    def next(self, reply: None) -> Step | End:
        return NotMine()


@dataclass(frozen=True)
class Owe:
    result: Result
    lease: Lease
    etag: str
    arrived: tuple[Pending, ...]

    @property
    def call(self) -> ReplaceLease:
        return ReplaceLease(_owing(self.lease, self.result, self.arrived), self.etag)

    def next(self, reply: Outcome) -> Step | End:
        return NotMine()


_CANCELLERS = Lease(
    id="job",
    entry="inbox/job.json",
    model=None,
    tenant=None,
    attempt=0,
    claim="c",
    nonce="c",
    owner="c",
    phase=Phase.RETRY,
    ttl_s=900.0,
    submitted_at=NOW,
)


def _owing(lease: Lease, result: Result, arrived: tuple[Pending, ...] = ()) -> Lease:
    failed = {part: AWAY for part in pending(result, lease) if part not in arrived}
    return _rules().delivery.still_pending(lease, result, failed, arrived)


@cache
def _rules() -> Rules:
    return Rules.of(max_attempts=3)


@dataclass(frozen=True)
class ReadLease:
    """Reply: Stored or None."""


@dataclass(frozen=True)
class FindLease:
    """A canceller leaves its events with the lease, before it tries to send them."""

    result: Result

    @property
    def call(self) -> ReadLease:
        return ReadLease()

    def next(self, reply: Stored | None) -> "OweCancel":
        return OweCancel(self.result, reply)


@dataclass(frozen=True)
class OweCancel:
    result: Result
    current: Stored | None

    @property
    def call(self) -> CreateLease | ReplaceLease:
        current = None if self.current is None else Lease.parse(self.current.body)
        still_pending = _owing(current or _CANCELLERS, self.result)
        return (
            ReplaceLease(still_pending, self.current.etag)
            if self.current
            else CreateLease(still_pending)
        )

    def next(self, reply: Outcome) -> Any:
        if isinstance(reply, Won):
            if self.result.callback_url is not None:
                return NotMine()  # left to a dispatcher
            return Deliver(self.result, self.call.lease, reply.etag, marked=True)
        return OweCancel(self.result, reply.current)


def after_cancelling(end: End) -> Any:
    """As `Canceller.cancel`."""
    return FindLease(end.result) if isinstance(end, Committed) else end


def after_taking(end: End) -> Any:
    """As `tick._after`."""
    match end:
        case Committed(result, lease, etag) if lease is not None:
            return Deliver(result, lease, etag)
        case Finished(stored, lease, etag, first_claim):
            there = Result.parse(stored.body)
            assert there is not None
            if first_claim and there.status is not Status.CANCELLED:
                return DropOwn(lease)
            return Deliver(there, lease, etag)
    return end


def after_start(end: End, renewals: int, callback_url: str | None, *, looks: bool) -> Any:
    if not isinstance(end, Started):
        return end
    return Executing(end.lease, end.etag, renewals, callback_url, looks=looks)

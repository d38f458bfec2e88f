"""What each actor may do next, and what comes of it.

An outcome depends on where the actor stands and on the one object that its next call touches, so
each is computed once, by the real `call` and `next`, and both are numbers from then on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import combinations
from typing import Any

from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease, Overflow
from pipeline.contract.result import Result, Status
from pipeline.notify.delivery import Pending
from pipeline.queue.cancel_steps import Cancellation, CommitCancel, FindLease
from pipeline.queue.claim import Claimant, claim, left_platform, take_over
from pipeline.queue.claim_steps import Claim, Commit, DropEntry, TakeOver
from pipeline.queue.expiry import LeaseState, Lifetimes, ListedLease, lease_state
from pipeline.queue.platforms import (
    Placement,
    RoutePlatforms,
    place,
    platform_health,
    refused,
)
from pipeline.queue.protocol import (
    Committed,
    CreateLease,
    CreateManifest,
    CreateResult,
    DropInbox,
    DropLease,
    End,
    Preflight,
    ReadInbox,
    ReadManifest,
    ReadResult,
    RejectConflict,
    ReplaceLease,
    Spawn,
    Started,
)
from pipeline.queue.retries import is_retrying
from pipeline.queue.start_steps import Execution, Start
from pipeline.store.base import Entry, IfAbsent, IfMatch
from pipeline.store.conditional import Attempted, Lost, Won, classify
from tests.support.exploration.numbers import (
    AGAIN,
    DELIVER,
    DROP_ENTRY,
    DROP_LEASE,
    FILE,
    FIRST,
    FLOAT,
    NOTHING,
    SPAWN,
    START,
    TAKE,
    UNCLEAR,
    WIN,
    Local,
    Numbering,
    Outcome,
    body_of,
    etag_of,
)
from tests.support.exploration.procedures import (
    ALL_STOPPED,
    FULL,
    NOW,
    CommitWork,
    CreateCell,
    Deliver,
    Delivering,
    Executing,
    GiveBack,
    Halt,
    KeepCell,
    LookBefore,
    MakeRoom,
    ReadCell,
    ReadCells,
    ReadLease,
    ReadStops,
    Renew,
    Rules,
    after_cancelling,
    after_start,
    after_taking,
)
from tests.support.exploration.scenario import (
    CALLED,
    CANCELLER,
    DELIVERED,
    FREE,
    GIVE_BACK,
    ID,
    KEYS,
    LATE_WRITE,
    LOST,
    REFUSE,
    UNDELIVERED,
    WORKERS,
    YIELD,
    Scenario,
)

LONG_AFTER = NOW + timedelta(days=2)
"""When a lease is judged, so that any may be due."""
ARRIVED = {Pending.EVENTS: DELIVERED, Pending.CALLBACK: CALLED}
DOWN_AFTER_S = 300.0
LIFETIMES = Lifetimes(claim_s=60, unreadable_s=900, margin_s=5, look_after_s=25)


@dataclass
class Actors:
    scenario: Scenario
    numbers: Numbering = field(default_factory=Numbering)
    _rules: Rules = field(init=False)
    _workers: dict[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        gate = FULL if self.scenario.stop_is_budget else ALL_STOPPED
        self._rules = Rules.of(self.scenario.max_attempts, gate)

    # ── beginnings ────────────────────────────────────────────────────────────────────────────

    def dispatcher(self, actor: int, ticks: int) -> int:
        return self.numbers.local(Local(actor, None, ticks=ticks))

    def canceller(self) -> int:
        return self.numbers.local(Local(CANCELLER, None))

    def worker(self, actor: int, ref_id: int) -> int:
        if (actor, ref_id) not in self._workers:
            self._workers[actor, ref_id] = self._worker(actor, ref_id)
        return self._workers[actor, ref_id]

    def _worker(self, actor: int, ref_id: int) -> int:
        payload = self.numbers.payloads[ref_id]
        assert payload is not None
        assert payload.lease is not None
        execution = Execution(
            nonce=f"w{actor}",
            owner="w",
            call_id=None,
            ttl_s=60.0,
            rate_usd_per_s=0.0,
            now=NOW,
            max_failures=self.scenario.max_attempts,
        )
        start = Start(execution, payload.lease, payload.etag)
        step = LookBefore(start) if self.scenario.worker_looks else start
        return self.numbers.local(Local(actor, step))

    def begin(self, id: int, stopped: int, lease: int, *entries: int) -> Iterator[Outcome]:
        """A dispatcher acts on its listing; a canceller just begins."""
        local = self.numbers.locals[id]
        assert local is not None
        if local.actor == CANCELLER:
            result = partial(_cancelled, self.scenario.callback_url)
            look = FindLease(Cancellation(ID, KEYS[0], result))
            yield Outcome(FREE, 0, self.numbers.local(replace(local, step=look)))
            return
        local = replace(local, stopped=bool(stopped))
        for step in self._openings(local, lease, *entries):
            yield Outcome(FREE, 0, self.numbers.local(replace(local, step=step)))

    def _openings(self, local: Local, lease: int, *entries: int) -> Iterator[Claim | TakeOver]:
        """What a tick may do about the job. A lease that is listed may be due, or not yet."""
        nonce = f"d{local.actor}.{local.ticks}"
        waiting = [Entry(key, "", 1, NOW) for key, body in zip(KEYS, entries, strict=True) if body]
        if not lease:
            claimant = Claimant(nonce, "d", self._placement(None, None))
            yield from (claim(entry, claimant) for entry in waiting if not local.stopped)
            return
        read = self.numbers.lease(lease)
        if local.stopped and is_retrying(read):
            return
        entry = Entry(lease_key(ID), etag_of(lease), 1, NOW)
        held = ListedLease(ID, entry, read, unreadable=read is None)
        besides: list[Entry | None] = [*waiting] or [None]
        for beside in besides:
            if lease_state(held, LONG_AFTER, beside, LIFETIMES) is LeaseState.DUE:
                placement = self._placement(read, left_platform(held, beside))
                yield take_over(held, beside, Claimant(nonce, "d", placement, 0.01), NOW)

    def _placement(self, lease: Lease | None, left: str | None) -> Placement:
        """As `Placements`, by this job's lease alone."""
        names = self.scenario.platforms
        if not names:
            return Placement(900.0)
        known = [(lease, NOW)] if lease else []
        health = {name: platform_health(name, known, NOW, DOWN_AFTER_S) for name in names}
        return place(RoutePlatforms(names, 60.0, DOWN_AFTER_S), health, 900.0, lease, left)

    # ── the next call ─────────────────────────────────────────────────────────────────────────

    def outcomes(self, id: int, value: int) -> Iterator[Outcome]:
        """Of the next call, with this value in the place that it touches."""
        local = self.numbers.locals[id]
        assert local is not None
        if isinstance(local.step, Executing):
            return self._choices(local, local.step)
        match local.step.call:
            case CreateLease(lease):
                return self._write(local, value, lease.body(), IfAbsent())
            case ReplaceLease(lease, etag):
                return self._write(local, value, lease.body(), IfMatch(etag))
            case CreateManifest(_, body):
                return self._write(local, value, body, IfAbsent())
            case CreateResult(result):
                return self._write(local, value, result.body(), IfAbsent())
            case CreateCell(_, body):
                return self._write(local, value, body, IfAbsent())
            case (
                ReadInbox() | ReadManifest() | ReadResult() | ReadLease() | ReadCell() | ReadStops()
            ):
                return self._read(local, value)
            case DropLease():
                return self._drop(local, DROP_LEASE, 0)
            case DropInbox(_, etag):
                return self._drop_entry(local, value, body_of(etag))
        return self._elsewhere(local)

    def _choices(self, local: Local, at: Executing) -> Iterator[Outcome]:
        """A worker may do any of these first."""
        following: Any = CommitWork(at.lease, at.etag, at.callback_url, at.cells)
        if len(at.cells) < self.scenario.steps:
            following = KeepCell(at)
            if at.kept:
                room = MakeRoom(at.lease, at.etag)
                yield Outcome(YIELD, 0, self.numbers.local(replace(local, step=room)))
        yield Outcome(FREE, 0, self.numbers.local(replace(local, step=following)))
        if at.halted:
            halt = Halt(at.lease, at.etag)
            yield Outcome(FREE, 0, self.numbers.local(replace(local, step=halt)))
        if at.renewals:
            yield Outcome(FREE, 0, self.numbers.local(replace(local, step=Renew(at))))
        if at.lease.failures + 1 < self.scenario.max_attempts:
            back = GiveBack(at.lease, at.etag)
            yield Outcome(GIVE_BACK, 0, self.numbers.local(replace(local, step=back)))

    def _read(self, local: Local, value: int) -> Iterator[Outcome]:
        if isinstance(local.step.call, ReadStops):
            yield Outcome(FREE, value, self._reply(local, bool(value)))
            return
        if isinstance(local.step.call, ReadInbox):
            local = replace(local, compared=value)
        yield Outcome(FREE, value, self._reply(local, self.numbers.stored(value)))

    def _drop_entry(self, local: Local, value: int, named: int) -> Iterator[Outcome]:
        """As SafeStore: what stands there instead of the named body stays, where DELETE can."""
        if not self.scenario.conditional_delete:
            return self._drop(local, DROP_ENTRY, local.compared)
        if value in (0, named):
            return self._drop(local, DROP_ENTRY, local.compared, needed=named)
        return iter([Outcome(FREE, value, self._reply(local, None))])

    def _drop(
        self, local: Local, effect: int, argument: int, needed: int = -1
    ) -> Iterator[Outcome]:
        """A delete is repeated until it is answered; the lost one may come late."""
        after = self._reply(local, None)
        yield Outcome(FREE, 0, after, effect, argument)
        yield Outcome(LOST, 0, self.numbers.local(local), effect, argument)
        yield Outcome(
            LATE_WRITE, 0, after, FLOAT, self.numbers.late_write(local.touches, needed, 0)
        )

    def _write(
        self, local: Local, value: int, body: bytes, condition: IfAbsent | IfMatch
    ) -> Iterator[Outcome]:
        """As SafeStore: put, and after anything but a plain yes read and judge."""
        if local.mode == UNCLEAR:
            yield self._resolve(local, value, body, condition)
            return
        unclear = self.numbers.local(replace(local, mode=UNCLEAR))
        needed = 0 if isinstance(condition, IfAbsent) else body_of(condition.etag)
        if value != needed:
            yield Outcome(FREE, value, unclear)
            return
        new = self.numbers.body(body)
        taken = TAKE if isinstance(local.step, TakeOver) else NOTHING
        overflowed = int(bool(taken) and self._overflows(value, new))
        won = self._written(local, new, Won(etag_of(new), fresh=local.mode == FIRST))
        yield replace(won, effect=won.effect or taken, argument=won.argument or overflowed)
        yield Outcome(LOST, new, unclear, taken, overflowed)
        yield Outcome(LOST, value, unclear)
        yield Outcome(
            LATE_WRITE, value, unclear, FLOAT, self.numbers.late_write(local.touches, needed, new)
        )

    def _overflows(self, before: int, after: int) -> bool:
        was, becomes = self.numbers.lease(before), self.numbers.lease(after)
        if was is None or becomes is None or becomes.overflow is not Overflow.DONE:
            return False
        assert becomes.waits == was.waits or was.overflow is Overflow.DONE
        return was.overflow is Overflow.OPEN

    def _resolve(
        self, local: Local, value: int, body: bytes, condition: IfAbsent | IfMatch
    ) -> Outcome:
        current = self.numbers.stored(value)
        verdict = classify(body, condition, current)
        if verdict is Attempted.AGAIN:
            return Outcome(FREE, value, self.numbers.local(replace(local, mode=AGAIN)))
        if verdict is Attempted.MINE and current is not None:
            return self._written(local, value, Won(current.etag, fresh=False))
        return self._written(local, value, Lost(current))

    def _written(self, local: Local, value: int, outcome: Won | Lost) -> Outcome:
        """An execution has begun, and a job is won, when the writer believes so."""
        after = local.step.next(outcome)
        then = self._reply(local, outcome)
        if isinstance(after, Started):
            return Outcome(FREE, value, then, START, after.lease.attempt)
        after = after.then if isinstance(after, DropEntry) else after
        wins = isinstance(after, Committed) or (
            isinstance(after, Deliver) and isinstance(local.step, CommitWork)
        )
        return Outcome(FREE, value, then, WIN if wins else NOTHING)

    def _elsewhere(self, local: Local) -> Iterator[Outcome]:
        """Calls to anything but the bucket's objects."""
        match local.step.call:
            case RejectConflict(_, body):
                yield Outcome(FREE, 0, self._reply(local, None), FILE, self.numbers.body(body))
            case Spawn(payload, lease):
                outages = refused(lease, NOW)
                free = lease.waiting(not_before=NOW, model=payload.model, outages=outages)
                said_no = self._reply(local, free)
                spawned = self.numbers.payload(payload)
                yield Outcome(FREE, 0, self._reply(local, None), SPAWN, spawned)
                yield Outcome(REFUSE, 0, said_no)
                yield Outcome(REFUSE, 0, said_no, SPAWN, spawned)
            case Delivering(owed):
                yield self._deliver(local, owed, FREE)
                for count in range(len(owed)):
                    for arrived in combinations(owed, count):
                        yield self._deliver(local, arrived, UNDELIVERED)
            case call:
                raise NotImplementedError(call)

    def _deliver(self, local: Local, arrived: tuple[Pending, ...], fault: int) -> Outcome:
        marks = sum(ARRIVED[part] for part in arrived)
        return Outcome(fault, 0, self._reply(local, arrived), DELIVER, marks)

    def _reply(self, local: Local, reply: Any) -> int:
        """Where the actor stands after this reply."""
        step = local.step.next(reply)
        if local.actor >= WORKERS:
            step = after_start(
                step,
                self.scenario.renewals,
                self.scenario.callback_url,
                looks=self.scenario.worker_looks,
            )
        elif local.actor == CANCELLER:
            step = after_cancelling(step)
        else:
            step = after_taking(step)
        if isinstance(step, Executing):
            return self.numbers.local(replace(local, step=step, mode=FIRST))
        if isinstance(step, End):
            return self.dispatcher(local.actor, local.ticks - 1) if local.ticks > 1 else 0
        if isinstance(step.call, Preflight):
            # Deciding touches nothing, so nothing can come between.
            decision = self._rules.preflight(step.call, stopped=local.stopped)
            return self._reply(replace(local, step=step), decision)
        ends = isinstance(step, Commit | CommitCancel) and not isinstance(local.step, ReadCells)
        if ends and self.scenario.steps:
            step = ReadCells(self.scenario.steps, step)
        return self.numbers.local(replace(local, step=step, mode=FIRST))


def _cancelled(callback_url: str | None, body: bytes) -> Result:
    return Result(
        id=ID,
        status=Status.CANCELLED,
        model="flux-dev",
        tenant="acme",
        attempt=0,
        nonce="c",
        manifest_sha256="",
        finished_at=NOW,
        callback_url=callback_url,
    )

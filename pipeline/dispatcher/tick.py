"""One tick: look at the bucket, decide, act.

Whoever hears of work (the schedule, a doorbell, a POST) runs the same tick over its own listing.
Ticks of several dispatchers may overlap: each claim is decided by one conditional write.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from random import random
from threading import Lock
from uuid import uuid4

import structlog

from config.errors import EngineUnavailable, RylaError
from events.sender import Sender
from handlers.media import images
from handlers.media.intake_process import Intake
from pipeline.contract.error_info import error_info
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease
from pipeline.contract.result import Result, Status
from pipeline.contract.summary import subject
from pipeline.dispatcher.budget_alarms import BudgetAlarms
from pipeline.dispatcher.deploy_event import DeployEventSender, newer_is_deployed
from pipeline.dispatcher.due import begun_sheets, due_leases
from pipeline.dispatcher.engine import Engine
from pipeline.dispatcher.gate import Gate
from pipeline.dispatcher.owed_alarms import AlarmPost, OwedAlarms
from pipeline.dispatcher.placements import Placements
from pipeline.dispatcher.preflight import preflight
from pipeline.dispatcher.reject import Rejector
from pipeline.dispatcher.rejection_events import RejectionEvents
from pipeline.dispatcher.replays import choose_replays
from pipeline.dispatcher.route_platforms import route_platforms
from pipeline.dispatcher.spawned_calls import SpawnedCalls
from pipeline.dispatcher.survey import Survey, Surveyor
from pipeline.inputs.supplies import InputChecker
from pipeline.notify.callbacks import require_alarm_secret
from pipeline.notify.delivery import ResultDelivery
from pipeline.notify.job_events import Origin, requested
from pipeline.public_https import INTERNET, PublicHttps
from pipeline.queue.admission import Waiting, admit
from pipeline.queue.backlog import Backlog
from pipeline.queue.claim import claim, take_over
from pipeline.queue.claim_steps import Claim, TakeOver
from pipeline.queue.expiry import ListedLease, backoff
from pipeline.queue.lease_cache import LeaseCache
from pipeline.queue.platforms import goes_elsewhere, refused
from pipeline.queue.protocol import (
    Committed,
    End,
    Finished,
    HandedBack,
    Preflight,
    RejectConflict,
    Spawn,
    Spawned,
)
from pipeline.queue.runner import run
from pipeline.queue.spawn import SpawnPayload
from pipeline.queue.spend_parts import SpendParts
from pipeline.runtime import RuntimeConfig
from pipeline.sheets.cells import read_sheet
from pipeline.sheets.end_files import EndFilesWriter
from pipeline.store.conditional import SafeStore

SHEETS_A_TICK = 2
"""Sheets taken over in one tick after they were begun. Any of them may end there, and then its
pictures are read and drawn, about a second a sheet of ten, while all other jobs wait for the next
tick. The leases of those left stay as they are, and are due at the next."""
SHEET_WAIT_S, SHEET_READ_S = 10.0, 3.5
"""For the sheet of the same tick that comes before, and for the pictures of one, some 35: a tick
that begins at the end of a scheduled run has 8 s until the platform ends it."""


@dataclass(frozen=True)
class Dispatcher:
    """The ports of a tick, and who ticks."""

    store: SafeStore
    engine: Engine
    sender: Sender
    runtime: RuntimeConfig
    pool: ThreadPoolExecutor
    """Jobs are taken side by side in it."""
    owner: str
    """Written into the leases that it claims, for people."""
    lease_cache: LeaseCache = field(default_factory=LeaseCache)
    backlog: Backlog = field(default_factory=Backlog)
    spend_parts: SpendParts = field(default_factory=SpendParts)
    deploy_event: DeployEventSender = field(default_factory=DeployEventSender)
    budget_alarms: BudgetAlarms = field(default_factory=BudgetAlarms)
    owed_alarms: OwedAlarms = field(default_factory=OwedAlarms)
    rejection_events: RejectionEvents = field(default_factory=RejectionEvents)
    nonce: Callable[[], str] = lambda: uuid4().hex
    """A fresh one for each claim."""
    jitter: Callable[[], float] = random
    """A number from 0 to 1."""
    web: PublicHttps = INTERNET
    """Where callbacks go out."""
    intake: Intake = images.intake
    """Decodes the pictures of jobs before a GPU starts."""
    platforms: frozenset[str] = frozenset()
    """Those that the engine can spawn on, where routes name some."""
    calls: SpawnedCalls = field(default_factory=SpawnedCalls)
    turn: Lock = field(default_factory=Lock)
    """Of the job whose sheet is drawn: one at a time."""

    def __post_init__(self) -> None:
        require_alarm_secret(self.runtime.budgets, self.runtime.settings)

    @property
    def alarm_post(self) -> AlarmPost:
        return AlarmPost(self.store, self.sender, self.runtime, self.web)

    @property
    def end_files(self) -> EndFilesWriter:
        return EndFilesWriter(self.store, self.turn, SHEET_WAIT_S, SHEET_READ_S)

    @property
    def delivery(self) -> ResultDelivery:
        return ResultDelivery(self.store, self.sender, self.runtime.settings, self.jitter, self.web)

    @property
    def input_checker(self) -> InputChecker:
        return InputChecker(self.store, self.runtime, self.intake)

    @property
    def rejector(self) -> Rejector:
        return Rejector(self.store, self.sender, Origin.of(self.runtime))


@dataclass(frozen=True)
class TickReport:
    """What one tick saw and did."""

    waiting: int
    """Jobs known to wait for a claim; with `more`, the inbox has others."""
    claimed: int
    """Those of them that there was a slot for."""
    more: bool
    """Whether the inbox goes on behind its first page."""
    in_flight: int
    """Jobs that take a slot."""
    held_up: int
    """Jobs known to wait until a stop is lifted, or for a budget."""
    retrying: int
    """Jobs that wait for their next attempt, and for nothing else."""
    taken_over: int
    """Leases that lapsed or whose retry was due, and those of finished jobs that owe something."""
    spawned: int
    """Handed to the engine."""
    committed: int
    """Refused by this dispatcher, with a result."""
    cleaned: int
    """Jobs found with a result already."""
    rejected: int
    """Entries filed under rejected/."""
    failed: int
    """Jobs this tick could not handle; their leases bring them back."""
    lists: int
    """LIST requests made."""
    reads: int
    """As Survey.reads."""
    replays_left: int
    """Finished jobs whose events or callback could be sent again, left for the next tick."""

    @property
    def active(self) -> bool:
        """Whether work is known, so that the next look should come soon."""
        known = (self.waiting, self.more, self.in_flight, self.retrying, self.replays_left)
        return any(known)


def tick(dispatcher: Dispatcher, changed_keys: Collection[str] = ()) -> TickReport:
    """Look once and act; with `changed_keys` of the inbox, at those alone if they are there.

    Raises a StoreError when the bucket cannot be listed.
    """
    d = dispatcher
    surveyor = Surveyor(
        *(d.store, d.lease_cache, d.backlog, d.runtime, d.pool, d.jitter),
        chooses_platforms=_chooses(d),
        platforms=d.platforms,
        counts_ended=True,
        spend_parts=d.spend_parts,
    )
    survey = surveyor.look(changed_keys)
    chosen = _choose(d, survey)
    d.backlog.forget(chosen.claims)
    steps = [*_steps(d, survey, chosen)]
    ends = list(d.pool.map(lambda step: _take(d, step, survey.gate), steps))
    ledger = survey.gate.ledger
    if ledger is not None:
        d.budget_alarms.tell(ledger, d.alarm_post, survey.date)
    rejected = d.rejector.invalid_entries(survey.scan.invalid_entries)
    return TickReport(
        waiting=len(survey.scan.waiting),
        claimed=len(chosen.claims),
        more=survey.scan.more,
        in_flight=len(survey.in_flight),
        held_up=len(survey.scan.held_up) + survey.held_up_retries,
        retrying=survey.retrying,
        taken_over=len(steps) - len(chosen.claims),
        spawned=sum(isinstance(end, Spawned) for end in ends),
        committed=sum(isinstance(end, Committed) for end in ends),
        cleaned=sum(isinstance(end, Finished) for end in ends),
        rejected=rejected,
        failed=sum(end is None or isinstance(end, HandedBack) for end in ends),
        lists=survey.lists,
        reads=survey.reads,
        replays_left=chosen.replays_left,
    )


@dataclass(frozen=True)
class _Chosen:
    """What a tick takes, of all that it saw."""

    claims: Sequence[Waiting]
    lapsed: Sequence[ListedLease]
    """And those whose retry was due and admitted."""
    sheets: Sequence[ListedLease]
    """Of the lapsed: begun ones, which may end here."""
    replays: Sequence[ListedLease]
    replays_left: int


def _choose(d: Dispatcher, survey: Survey) -> _Chosen:
    due = due_leases(survey, d.runtime)
    replays, replays_left = choose_replays(due.pending, d.sender.room)
    admitted = admit([*survey.scan.waiting, *due.retries], survey.slots, survey.order)
    lapsed = [*due.lapsed, *(due.retries[job] for job in admitted if job in due.retries)]
    sheets = begun_sheets(lapsed)
    return _Chosen(
        claims=[job for job in admitted if job not in due.retries],
        lapsed=[held for held in lapsed if held not in sheets],
        sheets=sheets[:SHEETS_A_TICK],
        replays=replays,
        replays_left=replays_left,
    )


def _steps(d: Dispatcher, survey: Survey, chosen: _Chosen) -> Iterator[Claim | TakeOver]:
    """In the order in which they are begun: what may take seconds, or is owed of jobs that are
    over, comes last."""
    placements = Placements(d.runtime, d.platforms, survey.known, survey.date)

    def taken(held: ListedLease) -> TakeOver:
        beside = survey.scan.beside_lease.get(held.id)
        claimant = placements.claimant(d.nonce(), d.owner, None, held, beside)
        return take_over(held, beside, claimant, survey.date)

    yield from map(taken, chosen.lapsed)
    for job in chosen.claims:
        yield claim(job.entry, placements.claimant(d.nonce(), d.owner, job.model))
    yield from map(taken, [*chosen.sheets, *chosen.replays])


def _chooses(d: Dispatcher) -> bool:
    """Whether a job may go to one platform or another, as its route says."""
    return any(len(route.platforms) > 1 for route in d.runtime.routes.routes.values())


def _take(d: Dispatcher, step: Claim | TakeOver, gate: Gate) -> End | None:
    """Take one job through to its end. Its failure touches no other job: its lease lapses."""
    performers = {
        Preflight: lambda ask: _preflight(d, ask, gate),
        Spawn: lambda spawn: _spawn(d, spawn, step),
        RejectConflict: lambda conflict: d.rejector.conflict(conflict.key, conflict.body),
    }
    log = structlog.get_logger(__name__).bind(job=step.task.lease.id)
    try:
        end = run(step, d.store, performers)
        _after(d, end)
    except RylaError as error:
        log.warning("not_taken", code=error.code, error=error.message)
        return None
    except Exception:  # a poison job must not stop the others; its attempts are counted
        log.exception("not_taken")
        return None
    log.debug("taken", end=type(end).__name__)
    return end


def _preflight(d: Dispatcher, ask: Preflight, gate: Gate) -> SpawnPayload | Result | Lease:
    version = d.runtime.settings.app_version
    return preflight(
        ask,
        d.runtime,
        d.store.now(),
        d.input_checker.check,
        lambda: newer_is_deployed(d.store, version),
        lambda id: read_sheet(d.store, id),
        d.end_files.write,
        gate.why_waits,
    )


def _spawn(d: Dispatcher, spawn: Spawn, step: Claim | TakeOver) -> Lease | None:
    """None, or the lease to hand back: an engine's outage is no failure of the job."""
    route = d.runtime.route_of(spawn.payload.model)
    given_up = d.calls.take(step.unstarted) if isinstance(step, TakeOver) else None
    if given_up is not None:  # only now that the take-over is won
        d.engine.cancel(given_up)
    try:
        if route is None:
            raise EngineUnavailable(f"no route runs {spawn.payload.model} any more")
        d.calls.note(spawn.payload.claim, d.engine.submit(route, spawn.payload))
    except EngineUnavailable as error:
        return _not_spawned(d, _as_spawned(spawn.payload, spawn.lease), route, error)
    return None


def _not_spawned(d: Dispatcher, lease: Lease, route: str | None, error: EngineUnavailable) -> Lease:
    """Due at once where another platform of the route may take it."""
    now = d.store.now()
    lease = lease.model_copy(update={"outages": refused(lease, now)})
    platforms = None if route is None else d.runtime.routes.route(route)
    if platforms is not None and goes_elsewhere(
        route_platforms(platforms, d.platforms, d.runtime), lease, now
    ):
        return lease.waiting(not_before=now, error=error_info(error))
    pause = backoff(d.runtime.settings).jittered_s(lease.attempt, d.jitter())
    return lease.waiting(not_before=now + timedelta(seconds=pause), error=error_info(error))


def _as_spawned(payload: SpawnPayload, lease: Lease) -> Lease:
    """The lease with what its job's body said. A payload carries it, unless it is too large."""
    return payload.lease or lease.model_copy(update={"model": payload.model})


def _after(d: Dispatcher, end: End) -> None:
    match end:
        case Spawned(payload, lease, body):
            d.lease_cache.note(payload.id, payload.etag, _as_spawned(payload, lease))
            about = subject(payload.id, lease.entry, lease.submitted_at, body)
            d.sender.best_effort(requested(about, Origin.of(d.runtime)))
        case Committed(result, lease, etag) if lease is not None:
            d.delivery.deliver(result, lease, etag)
        case Finished(stored, lease, etag, first_claim):
            there = Result.parse(stored.body)
            # A duplicate submission owes nothing, nor does a forgotten job. A cancel may have found
            # no lease to leave its events with.
            forgotten = there is not None and there.status is Status.FORGOTTEN
            if there is None:
                d.delivery.unreadable(lease, etag)
            elif forgotten or (first_claim and there.status is not Status.CANCELLED):
                d.store.delete(lease_key(lease.id))
            else:
                d.delivery.deliver(there, lease, etag)

"""One tick: look at the bucket, decide, act.

Whoever hears of work (the schedule, a doorbell, a POST) runs the same tick over its own listing.
Ticks of several dispatchers may overlap: each claim is decided by one conditional write.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.due import begun_sheets, due_leases
from pipeline.dispatcher.placements import Placements
from pipeline.dispatcher.replays import choose_replays
from pipeline.dispatcher.survey import Survey, Surveyor
from pipeline.dispatcher.taken_job import take
from pipeline.queue.admission import Waiting, admit
from pipeline.queue.claim import claim, take_over
from pipeline.queue.claim_steps import Claim, TakeOver
from pipeline.queue.expiry import ListedLease
from pipeline.queue.protocol import (
    Committed,
    Finished,
    HandedBack,
    Spawned,
)

SHEETS_A_TICK = 2
"""Sheets taken over in one tick after they were begun. Any of them may end there, and then its
pictures are read and drawn, about a second a sheet of ten, while all other jobs wait for the next
tick. The leases of those left stay as they are, and are due at the next."""


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
        *(d.store, d.memory.lease_cache, d.memory.backlog, d.runtime, d.pool, d.jitter),
        chooses_platforms=_chooses(d),
        platforms=d.platforms,
        counts_ended=True,
        spend_parts=d.memory.spend_parts,
    )
    survey = surveyor.look(changed_keys)
    chosen = _choose(d, survey)
    d.memory.backlog.forget(chosen.claims)
    steps = [*_steps(d, survey, chosen)]
    ends = list(d.pool.map(lambda step: take(d, step, survey.gate), steps))
    ledger = survey.gate.ledger
    if ledger is not None:
        d.memory.budget_alarms.tell(ledger, d.alarm_post, survey.date)
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

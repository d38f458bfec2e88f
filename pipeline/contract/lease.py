"""The lease: who has a job, in which attempt, and what a take-over must carry on.

A lease is replaced as a whole, always under its ETag. `nonce` and `seq` make every body, and so
every ETag, unique: A → B → A cannot happen.

    entry ─claim─► CLAIMED ──────start──────► RUNNING ──hand back──► RETRY
                   SPAWNED ─┐                  │  ▲ │                ▲ ▲
                      ▲     └─ not spawned ────┼──┼─┼────────────────┘ │
                      │                        │  └─┘ renew, restart   │
                      │                        └─commit─► result ──────┘ not delivered
                      │                                     └─► deleted  delivered
                      └─ take-over of any lease that is due

    claim          dispatcher: the inbox entry has no lease (queue/claim.py)
    start          worker: the lease is as the worker was spawned with it (queue/start_steps.py)
    renew          worker: every renew_seconds (worker/heartbeat.py)
    restart        worker: the platform runs the input again; same claim, no result, attempts left
    hand back      worker: the error may pass, attempts left, no preemption (worker/execution.py)
    yield          worker: RETRY with `yielded_at`; steps are left and others wait; no failure
    not spawned    dispatcher: the engine takes no job; costs no attempt (dispatcher/tick.py)
    lost           dispatcher: a worker of its own machine died first; a wait (hand_back.py)
    stopped        dispatcher, worker: an operator stops jobs like it; RETRY, and counts as nothing
    vacate         dispatcher: neither entry nor manifest; RETRY, `vacant` (queue/claim_steps.py)
    not delivered  whoever delivers or cancels: RETRY, `committed` (notify/delivery.py)
    overflow       dispatcher: a take-over by another platform of the route (queue/platforms.py)
    take-over      dispatcher: `lease_state` is DUE (queue/expiry.py); the next attempt, CLAIMED
                   where the entry may still stand, else SPAWNED
    deleted        whoever delivers: a result stands, and all has arrived or was given up

After a spawn the entry is deleted and the lease stays as it is: CLAIMED without an entry means the
same as SPAWNED. A job that is refused or cancelled is committed without RUNNING. docs/bucket.md
says all of this at more length.
"""

import json
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from config.errors import InvalidId
from events.stored_event import StoredEvent
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.keys import ID_PATTERN, parse_inbox_key

MOST = 1e9
"""Seconds and dollars beyond which no clock and no sum goes on."""
Finite = Annotated[float, Field(ge=-MOST, le=MOST)]
Amount = Annotated[float, Field(ge=0, le=MOST)]

VACANT_S = 86_400.0
"""A vacant lease is looked into again after this: a dispatcher that lost it may have adopted."""


class Phase(StrEnum):
    CLAIMED = "claimed"
    """A dispatcher has it; its inbox entry is still there until it is spawned."""
    SPAWNED = "spawned"
    """Waiting for a worker, its inbox entry gone."""
    RUNNING = "running"
    """A worker executes it and renews the lease."""
    RETRY = "retry"
    """Nobody has it; to be taken over from `not_before` on."""


class Overflow(StrEnum):
    """Whether a job that no worker starts goes to another platform of its route, which it does
    once."""

    NONE = "none"
    OPEN = "open"
    """It waits for as long as its route's `overflow_after_s`, and then goes there."""
    DONE = "done"
    """It has gone."""


class Outage(BaseModel):
    """A platform did not start this job."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    platform: str
    since: AwareDatetime
    """When the job was given to it."""
    until: AwareDatetime
    """When it was known: at once if it refused the job."""


class Progress(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    step: str | None = None
    """What runs now: a node class, `upload`, `start`."""
    views: dict[str, str] = {}
    """Of a character sheet: how far each view is, such as `composed` or `made`."""


class Spent(BaseModel):
    """What earlier attempts cost. A lost attempt is counted up to the moment it was given up."""

    model_config = ConfigDict(extra="allow", frozen=True)

    usd: Amount = 0.0
    """Of all earlier attempts together."""
    upper_bound: bool = False
    """Whether a lost attempt is among them, counted until it was given up."""


class Lease(BaseModel):
    """Read by the version before and the one after: a new field has a default, and one that is not
    known is kept by whoever rewrites the lease, or an old worker would reset a new count."""

    model_config = ConfigDict(extra="allow", frozen=True)

    v: int = 1
    """Of this form; in every body."""
    id: Annotated[str, Field(pattern=ID_PATTERN)]
    entry: str
    """The inbox key that it was claimed from. A bare key says neither model nor tenant."""
    model: str | None
    """None until a bare entry has been read."""
    tenant: str | None
    attempt: Annotated[int, Field(ge=0)]
    """The fencing number and the folder of outputs: it grows with every take-over and with every
    further execution, and bounds nothing. What is bounded is counted below."""
    failures: Annotated[int, Field(ge=0)] = 0
    """Executions that ended badly, or were lost while they ran. The pause before a retry grows with
    it."""
    waits: Annotated[int, Field(ge=0)] = 0
    """Lapses in a row while no worker had it and its inbox entry was gone. A start ends them."""
    lost_claims: Annotated[int, Field(ge=0)] = 0
    """Lapses of a claim whose inbox entry still stood: its dispatcher died before the spawn."""
    preemptions: Annotated[int, Field(ge=0)] = 0
    """Executions that were stopped in good order: the platform took the machine, or the worker had
    to end."""
    stopped: bool = False
    """The running execution has said that it is stopped in good order, so its end is no failure."""
    claim: str
    """Nonce of the claim or take-over that this execution was spawned for."""
    nonce: str
    """Of whoever wrote the lease last: `claim` itself until a worker starts."""
    seq: int = 0
    """Counts the writes under one nonce."""
    owner: str
    """Who wrote it, for people, such as `Flux@host:4711`: route, machine and process."""
    phase: Phase
    ttl_s: Amount
    """How long this phase may last without a write."""
    not_before: AwareDatetime | None = None
    """By the store's clock; only in RETRY."""
    committed: bool = False
    """The result stands; only its events or its callback are owed: a take-over needs no worker."""
    events_out: bool = False
    """Of a committed job: its events have arrived, or were given up, and are not sent again."""
    callback_out: bool = False
    """Likewise of its callback."""
    callback_host: str | None = None
    """Of a committed job that owes a callback: the host that it goes to, so that it is told apart
    from the jobs that wait for another."""
    deliveries: int = 0
    """Replays of a committed job's events and callback so far, sent or not; the pause grows with
    it."""
    delivery_tries: int = 0
    """Of them, those that were sent: bounded by RYLA_EVENT_TRIES."""
    callback_tries: int = 0
    """Likewise of its callback; `delivery_tries` are those of its events."""
    vacant: bool = False
    """Its dispatcher found nothing to take. It stays, because a lease is deleted only when a result
    stands, and the next entry of this id is claimed over it."""
    call_id: str | None = None
    """The platform's name of the execution, to cancel it by; None where it has none."""
    platform: str | None = None
    """Where it is spawned, of its route's platforms; None where the route names none."""
    overflow: Overflow = Overflow.NONE
    outages: tuple[Outage, ...] = ()
    """The last one of each platform that did not start it."""
    gpu: Annotated[str, Field(min_length=1)] | None = None
    """The GPU that the next attempt must have, as in routes.toml, because a smaller one was too
    small. None leaves it to the route."""
    lora: str | None = None
    """The key of the LoRA that the job uses, known from its spawn on."""
    batch: str | None = None
    """The batch that it was sent in; known from its first judgement on, as are the next two."""
    estimate_usd: Amount | None = None
    """What it may cost yet, with all its tries; None where no estimate can be made."""
    deadline: AwareDatetime | None = None
    """Of the job: at it even one that is stopped ends."""
    submitted_at: AwareDatetime
    """When the manifest was written, by the store's clock."""
    yielded_at: AwareDatetime | None = None
    """When its execution made room for other jobs, with steps left to do: from then on it waits
    like one that came then. Its next start ends that."""
    started_at: AwareDatetime | None = None
    """By the store's clock; None until a worker starts."""
    rate_usd_per_s: Amount = 0.0
    """Of the worker that runs it, so that a lost attempt can be priced."""
    cold_s: Finite = 0.0
    """What that worker's start took, where this job waited for it and pays for it."""
    spent: Spent = Spent()
    progress: Progress | None = None
    error: ErrorInfo | None = None
    """Of the last attempt that ended without a commit."""
    events: tuple[StoredEvent, ...] = ()
    """Of attempts that ended without a commit."""

    @field_validator("entry")
    @classmethod
    def _names_the_job(cls, entry: str, info: ValidationInfo) -> str:
        if parse_inbox_key(entry).id != info.data.get("id"):
            raise ValueError("the entry is another job's")
        return entry

    def body(self) -> bytes:
        """As it stands in the bucket: JSON, UTF-8, without what is at its default; with a space at
        the end where `says_ended` needs one."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        text = json.dumps({"v": self.v} | fields, ensure_ascii=False).encode()
        return text if says_ended(len(text)) == self.committed else text + b" "

    @classmethod
    def parse(cls, body: bytes) -> Self | None:
        """The lease, or None for bytes that are none, which somebody else wrote."""
        try:
            return cls.model_validate_json(body)
        except (ValueError, InvalidId):
            return None

    def with_(self, **changes: Any) -> Self:
        """A copy with these fields changed and the write counted."""
        return self.model_copy(update={"seq": self.seq + 1, **changes})

    def with_outage(self, outage: Outage) -> Self:
        """A copy with this outage in place of an earlier one of the platform."""
        others = (each for each in self.outages if each.platform != outage.platform)
        return self.model_copy(update={"outages": (*others, outage)})

    def taken_over(self, nonce: str, owner: str, phase: Phase, ttl_s: float, now: datetime) -> Self:
        """The next attempt's lease, with a lost execution added to failures and cost.

        `nonce` is fresh, `ttl_s` is how long the phase may last without a write, `now` is the
        store's clock.
        """
        return self.with_(
            attempt=self.attempt + 1,
            claim=nonce,
            nonce=nonce,
            seq=0,
            owner=owner,
            phase=phase,
            ttl_s=ttl_s,
            not_before=None,
            call_id=None,
            started_at=None,
            rate_usd_per_s=0.0,
            cold_s=0.0,
            spent=self._spent_until(now),
            failures=self._failures_if_lost(),
            stopped=False,
            progress=None,
        )

    def started(
        self,
        *,
        nonce: str,
        owner: str,
        attempt: int,
        call_id: str | None,
        ttl_s: float,
        rate_usd_per_s: float,
        now: datetime,
        cold_s: float = 0.0,
    ) -> Self:
        """The lease of an execution that begins `now`, by the store's clock.

        An `attempt` beyond the lease's own is a second execution of the same spawn: the first
        counts as lost, and what it cost is added.
        """
        lost = attempt > self.attempt
        return self.with_(
            attempt=attempt,
            nonce=nonce,
            seq=0,
            owner=owner,
            phase=Phase.RUNNING,
            ttl_s=ttl_s,
            call_id=call_id,
            started_at=now,
            rate_usd_per_s=rate_usd_per_s,
            cold_s=cold_s,
            spent=self._spent_until(now) if lost else self.spent,
            failures=self._failures_if_lost() if lost else self.failures,
            waits=0,
            stopped=False,
            yielded_at=None,
            progress=Progress(step="start"),
        )

    def waiting(self, *, not_before: datetime, **changes: Any) -> Self:
        """The lease handed back, to be taken over from `not_before` on."""
        return self.with_(phase=Phase.RETRY, not_before=not_before, progress=None, **changes)

    def yielded(self, now: datetime, **changes: Any) -> Self:
        """The lease of an execution that makes room for other jobs: due at once, and no failure."""
        return self.waiting(not_before=now, yielded_at=now, started_at=None, **changes)

    @property
    def waits_since(self) -> datetime:
        """What its age is counted from while it waits for a slot."""
        return self.yielded_at or self.submitted_at

    def stopped_in_good_order(self, **changes: Any) -> Self:
        """The lease of an execution that says so before it ends."""
        return self.with_(stopped=True, preemptions=self.preemptions + 1, **changes)

    def _failures_if_lost(self) -> int:
        """With the execution that runs, as one that was lost. One that is stopped is none."""
        lost = self.phase is Phase.RUNNING and not self.committed and not self.stopped
        return self.failures + lost

    def vacated(self) -> Self:
        """The lease of a claim that had nothing to claim."""
        return self.with_(phase=Phase.RETRY, vacant=True, ttl_s=VACANT_S)

    def _spent_until(self, now: datetime) -> Spent:
        if self.phase is not Phase.RUNNING or self.started_at is None:
            return self.spent
        seconds = self.cold_s + max(now - self.started_at, timedelta()).total_seconds()
        seconds = max(0.0, seconds)
        usd = self.spent.usd + seconds * self.rate_usd_per_s
        return self.spent.model_copy(update={"usd": usd, "upper_bound": True})


def says_ended(size: int) -> bool:
    """Whether a lease of so many bytes is one that is `committed`: their number is odd then, so
    that a listing tells it. A hint: leases of versions before this have any length."""
    return size % 2 == 1

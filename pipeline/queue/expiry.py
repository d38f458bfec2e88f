"""When a lease is due. Judged by the store's clock alone: the Date of a LIST reply against the
LastModified of the lease in that same reply."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from config.settings import Settings
from pipeline.contract.lease import Lease, Phase
from pipeline.store.base import Entry
from system.backoff import Backoff


@dataclass(frozen=True)
class Lifetimes:
    """Seconds. Each lease names its own life; these are for what a lease cannot say."""

    claim_s: float
    """A claim whose inbox entry still stands: its dispatcher should have spawned it by now."""
    unreadable_s: float
    """A lease that does not parse."""
    margin_s: float
    """Added to each before a lease is due."""
    look_after_s: float
    """A running lease is never older; one that is may be waiting for its retry, and is read."""

    @classmethod
    def of(cls, settings: Settings) -> "Lifetimes":
        return cls(
            claim_s=settings.claim_seconds,
            unreadable_s=settings.spawned_seconds,
            margin_s=settings.expiry_margin_seconds,
            look_after_s=settings.renew_seconds * 1.25,
        )


class LeaseState(Enum):
    LIVE = auto()
    """Somebody has it."""
    DUE = auto()
    """To be taken over now: it lapsed, or the time of its retry has come."""
    UNKNOWN = auto()
    """It changed since it was last read, and is old enough to be worth a read."""


@dataclass(frozen=True)
class ListedLease:
    """A lease as listed."""

    id: str
    entry: Entry
    lease: Lease | None
    """Its body at this ETag, or None if it was not read or does not parse."""
    unreadable: bool = False


def lease_state(
    held: ListedLease, date: datetime, waiting: Entry | None, lifetimes: Lifetimes
) -> LeaseState:
    """What a tick makes of a lease. `date` is the store's clock in the reply that listed it,
    `waiting` the job's inbox entry, if one was listed."""
    age = (date - held.entry.last_modified).total_seconds()
    if held.unreadable:
        return _due(age > lifetimes.unreadable_s + lifetimes.margin_s)
    if held.lease is None:
        return LeaseState.UNKNOWN if age > lifetimes.look_after_s else LeaseState.LIVE
    if held.lease.vacant and waiting is not None:
        return LeaseState.DUE
    if held.lease.phase is Phase.RETRY and not held.lease.vacant:
        return _due(held.lease.not_before is None or date >= held.lease.not_before)
    return _due(age > _life(held, held.lease, waiting, lifetimes) + lifetimes.margin_s)


def _life(held: ListedLease, lease: Lease, waiting: Entry | None, lifetimes: Lifetimes) -> float:
    # The entry of a spawned job is gone; one that is younger than the lease was submitted again.
    unspawned = (
        lease.phase is Phase.CLAIMED
        and waiting is not None
        and waiting.last_modified <= held.entry.last_modified
    )
    return min(lifetimes.claim_s, lease.ttl_s) if unspawned else lease.ttl_s


def _due(due: bool) -> LeaseState:
    return LeaseState.DUE if due else LeaseState.LIVE


def backoff(settings: Settings) -> Backoff:
    """Between the attempts of a job, by their number."""
    return Backoff(settings.backoff_base_seconds, settings.backoff_cap_seconds)

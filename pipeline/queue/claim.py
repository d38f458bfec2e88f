"""The first step of taking a job: a fresh claim, or the take-over of a lease that is due."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.contract.keys import DEFAULT_PRIORITY, InboxName, parse_inbox_key
from pipeline.contract.lease import Lease, Outage, Overflow, Phase
from pipeline.queue.claim_steps import Claim, ClaimTask, TakeOver
from pipeline.queue.expiry import ListedLease
from pipeline.queue.platforms import UNSTARTED, Placement
from pipeline.store.base import Entry


@dataclass(frozen=True)
class Claimant:
    """Who takes."""

    nonce: str
    """Fresh for each take."""
    owner: str
    placement: Placement
    overflow_usd: float = 0.0
    """What a job that overflows may cost where it was: a worker may be starting for it there."""


def claim(waiting: Entry, claimant: Claimant) -> Claim:
    """A job that nobody has. Raises InvalidId for an entry whose name is no job's."""
    lease = _claimed(parse_inbox_key(waiting.key), waiting.last_modified, claimant)
    return Claim(ClaimTask(lease, first_claim=True))


def take_over(
    held: ListedLease, waiting: Entry | None, claimant: Claimant, now: datetime
) -> TakeOver:
    """A lease that is due. `waiting` is the job's inbox entry, if one was listed; `now` is the
    store's clock.

    What a lapse counts as (a wait, a lost claim, a failure, an overflow) is decided here.
    """
    lease = held.lease
    if lease is not None and not lease.vacant:
        # Of a job that was cancelled while it waited, the entry goes too: taken again, it would
        # tell its end a second time.
        entry_left = (
            lease.phase is Phase.CLAIMED
            or _stood_before(held, waiting)
            or (lease.committed and waiting is not None)
        )
        phase = Phase.CLAIMED if entry_left else Phase.SPAWNED
        counted = _counted(held, lease, waiting, claimant, now)
        taken = counted.taken_over(
            claimant.nonce, claimant.owner, phase, claimant.placement.ttl_s, now
        ).model_copy(update=_placed(claimant.placement))
    elif waiting is not None:
        taken = _claimed(parse_inbox_key(waiting.key), waiting.last_modified, claimant)
    elif lease is not None:
        taken = _claimed(parse_inbox_key(lease.entry), lease.submitted_at, claimant)
    else:  # A stranger overwrote it: nothing is known but the id.
        name = InboxName(DEFAULT_PRIORITY, None, None, held.id)
        taken = _claimed(name, held.entry.last_modified, claimant)
    unstarted = lease.claim if lease is not None and lease.phase in UNSTARTED else None
    return TakeOver(ClaimTask(taken, first_claim=False), held.entry.etag, unstarted)


def left_platform(held: ListedLease, waiting: Entry | None) -> str | None:
    """The platform that the job of a lease that is due leaves for another one: it was spawned
    there, its life there was that of an overflow, and no worker has started it. None where it does
    not overflow. `waiting` is the job's inbox entry, if listed."""
    lease = held.lease
    if lease is None or lease.overflow is not Overflow.OPEN or lease.phase not in UNSTARTED:
        return None
    return None if lease.committed or _stood_before(held, waiting) else lease.platform


def _counted(
    held: ListedLease, lease: Lease, waiting: Entry | None, claimant: Claimant, now: datetime
) -> Lease:
    """With what its lapse counts as."""
    left = left_platform(held, waiting)
    if left is None:
        return lease.with_(**_lapse(held, lease, waiting))
    usd = lease.spent.usd + claimant.overflow_usd
    spent = lease.spent.model_copy(update={"usd": usd, "upper_bound": True})
    outage = Outage(platform=left, since=held.entry.last_modified, until=now)
    return lease.with_(spent=spent).with_outage(outage)


def _placed(placement: Placement) -> dict[str, Any]:
    return {"platform": placement.platform, "overflow": placement.overflow}


def _stood_before(held: ListedLease, waiting: Entry | None) -> bool:
    """Whether the inbox entry is that of the lease: a younger one was put again."""
    return waiting is not None and waiting.last_modified <= held.entry.last_modified


def _lapse(held: ListedLease, lease: Lease, waiting: Entry | None) -> dict[str, int]:
    """What a lapse counts as while nobody ran the job; that of an execution the lease counts."""
    if lease.committed or lease.phase in (Phase.RUNNING, Phase.RETRY):
        return {}
    if waiting is None or (lease.phase is Phase.SPAWNED and _stood_before(held, waiting)):
        return {"waits": lease.waits + 1}
    if _stood_before(held, waiting):
        return {"lost_claims": lease.lost_claims + 1}
    return {}


def _claimed(name: InboxName, submitted_at: datetime, claimant: Claimant) -> Lease:
    return Lease(
        id=name.id,
        entry=name.key,
        model=name.model,
        tenant=name.tenant,
        attempt=1,
        claim=claimant.nonce,
        nonce=claimant.nonce,
        owner=claimant.owner,
        phase=Phase.CLAIMED,
        ttl_s=claimant.placement.ttl_s,
        submitted_at=submitted_at,
        **_placed(claimant.placement),
    )

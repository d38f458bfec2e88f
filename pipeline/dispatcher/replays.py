"""Which finished jobs' events and callbacks a tick sends again. Pure."""

from collections.abc import Callable, Iterable
from datetime import datetime

from pipeline.contract.lease import Lease
from pipeline.notify.delivery import pending_targets
from pipeline.queue.expiry import ListedLease

REPLAYS_PER_TICK = 32
"""However many are due: a tick is for jobs that wait."""


def is_pending(lease: Lease | None) -> bool:
    """Whether the job is over but for what it owes: it needs no slot and no worker."""
    return lease is not None and lease.committed and not lease.vacant


def choose_replays(
    due: Iterable[ListedLease], room: Callable[[str], int]
) -> tuple[list[ListedLease], int]:
    """Those to take over now, the longest due first, and how many are left for the next tick.

    `room` says how many deliveries a target is worth now. A job all of whose targets have none is
    passed over, and costs nothing.
    """
    rooms: dict[str, int] = {}
    chosen: list[ListedLease] = []
    left = 0
    for held in sorted(due, key=_due_order):
        assert held.lease is not None
        targets = pending_targets(held.lease)
        for target in targets:
            if target not in rooms:
                rooms[target] = room(target)
        open_targets = [target for target in targets if rooms[target] > 0]
        if not open_targets:
            continue
        if len(chosen) == REPLAYS_PER_TICK:
            left += 1
            continue
        for target in open_targets:
            rooms[target] -= 1
        chosen.append(held)
    return chosen, left


def _due_order(held: ListedLease) -> tuple[datetime, str]:
    """One without a time of its own was taken over before, by somebody who went no further."""
    lease = held.lease
    due = None if lease is None else lease.not_before
    return (due or held.entry.last_modified, held.id)

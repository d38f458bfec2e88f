"""Gives back to the dispatcher what the last local stack left in its workers' queue.

Without this, a job that was handed to a worker and not begun would wait until its lease lapses. It
is safe at any time: a worker that holds such a job after all fails at its fenced start.
"""

import structlog

from pipeline.contract.keys import INBOX, LEASES, lease_id
from pipeline.contract.lease import Lease, Phase
from pipeline.jobs.status import inbox_id
from pipeline.store.conditional import SafeStore, Won, listed


def reclaim(store: SafeStore) -> int:
    """Hand back every job that was given to a worker and not begun. How many there were."""
    waiting = {inbox_id(entry.key) for entry in listed(store, INBOX)}
    handed_back = 0
    for entry in listed(store, LEASES):
        id = lease_id(entry.key)
        # One whose entry still stands may lack its manifest; its short claim lapses by itself.
        if id is None or id in waiting:
            continue
        stored = store.get(entry.key)
        lease = None if stored is None else Lease.parse(stored.body)
        if stored is None or lease is None or lease.phase not in (Phase.CLAIMED, Phase.SPAWNED):
            continue
        # It never ran, so it costs no attempt.
        free = lease.waiting(not_before=store.now(), attempt=max(0, lease.attempt - 1))
        outcome = store.replace(entry.key, free.body(), stored.etag)
        handed_back += isinstance(outcome, Won)
    if handed_back:
        structlog.get_logger(__name__).info("reclaimed", jobs=handed_back)
    return handed_back

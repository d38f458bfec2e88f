"""How often each thing may go wrong with a job before it ends as failed. Pure.

Each is counted apart in the lease, because each has another cause: `failures` are the job's own or
its machine's, `waits` are a route that never gets a worker, `lost_claims` a manifest that kills
dispatchers, `preemptions` a platform that takes its machines back.
"""

from config.errors import AttemptsExhausted, ClaimsLost, NeverStarted, PreemptedTooOften
from pipeline.contract.lease import Lease

MOST_WAITS = 20
"""Each lasts RYLA_SPAWNED_SECONDS: five hours in all at its default."""
MOST_LOST_CLAIMS = 5
"""Dispatchers that may end over one job."""
MOST_PREEMPTIONS = 20
"""Machines that may be taken from under one job."""


def exhausted(lease: Lease, max_failures: int) -> AttemptsExhausted | None:
    """Why the job is not to be started once more, or None when it may be. `max_failures` is
    RYLA_MAX_ATTEMPTS."""
    last = f"; the last error was {lease.error.code}: {lease.error.message}" if lease.error else ""
    if lease.failures >= max_failures:
        return AttemptsExhausted(
            f"{lease.failures} attempts are used up{last}",
            hint="Look at the error and the worker's log, then submit under a new id.",
        )
    if lease.waits >= MOST_WAITS:
        return NeverStarted(f"no worker started it in {lease.waits} spawns{last}")
    if lease.lost_claims >= MOST_LOST_CLAIMS:
        return ClaimsLost(f"{lease.lost_claims} dispatchers ended while they had claimed it{last}")
    if lease.preemptions >= MOST_PREEMPTIONS:
        return PreemptedTooOften(f"{lease.preemptions} machines were taken from under it{last}")
    return None

"""Which leases of a look are due, and for what. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.dispatcher.replays import is_pending
from pipeline.dispatcher.survey import Survey
from pipeline.queue.admission import Waiting
from pipeline.queue.expiry import LeaseState, Lifetimes, ListedLease, lease_state
from pipeline.queue.retries import as_waiting, is_retrying
from pipeline.runtime import RuntimeConfig
from pipeline.sheets.cells import SHEET


@dataclass
class Due:
    """The leases that may be taken over now."""

    lapsed: list[ListedLease] = field(default_factory=list)
    retries: dict[Waiting, ListedLease] = field(default_factory=dict)
    """Each needs a slot, like any job."""
    pending: list[ListedLease] = field(default_factory=list)
    """Of finished jobs, which owe events or a callback."""


def due_leases(survey: Survey, runtime: RuntimeConfig) -> Due:
    """What lapsed of a route that is left to other dispatchers is left to them too."""
    lifetimes = Lifetimes.of(runtime.settings)
    due = Due()
    for held in survey.held:
        entry = survey.scan.beside_lease.get(held.id)
        if lease_state(held, survey.date, entry, lifetimes) is not LeaseState.DUE:
            continue
        lease = held.lease
        if is_pending(lease) and entry is None:  # an entry left beside it has to go, whatever
            due.pending.append(held)
        elif lease is not None and is_retrying(lease):
            if not survey.gate.holds_retry(lease, survey.date):
                due.retries[as_waiting(lease, held.entry.etag)] = held
        elif lease is None or runtime.route_of(lease.model) not in runtime.unclaimed_routes:
            due.lapsed.append(held)
    return due


def begun_sheets(leases: Iterable[ListedLease]) -> list[ListedLease]:
    """Those of character sheets of which something may have been made."""
    return [
        held
        for held in leases
        if held.lease is not None and held.lease.model == SHEET and held.lease.attempt
    ]

"""Jobs that wait for their retry, as they compete with those of the inbox. Pure."""

from datetime import datetime

from pipeline.contract.keys import parse_inbox_key
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.stops import Stops
from pipeline.queue.admission import Contents, Waiting
from pipeline.store.base import Entry


def as_waiting(lease: Lease, etag: str = "") -> Waiting:
    """A job that has a lease, among those that wait."""
    entry = Entry(lease.entry, etag, 0, lease.waits_since)
    loras = () if lease.lora is None else (lease.lora,)
    known = None if lease.model is None else Contents(lease.tenant, lease.model, loras)
    return Waiting(parse_inbox_key(lease.entry), entry, known)


def is_retrying(lease: Lease | None) -> bool:
    """A vacant lease waits too, but for nothing."""
    if lease is None or lease.phase is not Phase.RETRY:
        return False
    return not (lease.committed or lease.vacant)


def is_due(lease: Lease, date: datetime) -> bool:
    """Whether the time of its retry has come, by the store's clock."""
    return lease.not_before is None or date >= lease.not_before


def is_stopped(lease: Lease, stops: Stops) -> bool:
    """Whether it waits until a stop is lifted."""
    return stops.over(lease.tenant, lease.model) is not None

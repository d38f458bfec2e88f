"""Gives jobs back that were handed to an engine and that no worker has started."""

from collections.abc import Iterable
from datetime import timedelta

import structlog

from config.errors import StoreError
from config.settings import Settings
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease
from pipeline.queue.expiry import backoff
from pipeline.queue.lease_cache import LeaseCache
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.conditional import SafeStore, Won
from system.backoff import Backoff


def hand_back(store: SafeStore, payloads: Iterable[SpawnPayload]) -> int:
    """Make these jobs due at once for whoever dispatches next. How many were handed back.

    Each write holds only for the claim that the payload was made for, so it is safe whoever has the
    job by now: one that was started, or claimed anew, has another ETag. It counts as no failure. A
    store that is away leaves them leased until they lapse; nothing is raised.
    """
    handed_back = 0
    try:
        for payload in payloads:
            handed_back += _free(store, payload) is not None
    except StoreError as error:
        structlog.get_logger(__name__).warning("not_handed_back", error=error.message)
    if handed_back:
        structlog.get_logger(__name__).info("handed_back", jobs=handed_back)
    return handed_back


def hand_back_lost(
    store: SafeStore, settings: Settings, leases: LeaseCache, payload: SpawnPayload
) -> bool:
    """The same for a job whose worker is gone; `leases` learns of it, so that the next tick does.
    Whether it was handed back.

    It counts as a wait, as the lapse that it comes before would: a manifest that kills its workers
    ends after MOST_WAITS of them. From the second wait in a row on it pauses first.
    """
    log = structlog.get_logger(__name__).bind(job=payload.id)
    try:
        freed = _free(store, payload, waits=1, pauses=backoff(settings))
    except StoreError as error:
        log.warning("not_handed_back", error=error.message)
        return False
    if freed is None:
        return False
    leases.note(payload.id, *freed)
    log.info("handed_back_lost", waits=freed[1].waits)
    return True


def _free(
    store: SafeStore, payload: SpawnPayload, waits: int = 0, pauses: Backoff | None = None
) -> tuple[str, Lease] | None:
    """The lease that stands then, with its ETag; None where the job is not to be handed back."""
    lease = payload.lease or _lease(store, payload)
    if lease is None:
        return None
    pause_s = pauses.pause_s(lease.waits) if pauses is not None and lease.waits else 0.0
    not_before = store.now() + timedelta(seconds=pause_s)
    free = lease.waiting(not_before=not_before, waits=lease.waits + waits)
    outcome = store.replace(lease_key(payload.id), free.body(), payload.etag)
    return (outcome.etag, free) if isinstance(outcome, Won) else None


def _lease(store: SafeStore, payload: SpawnPayload) -> Lease | None:
    """Of a payload that was too large to carry it."""
    stored = store.get(lease_key(payload.id))
    return None if stored is None or stored.etag != payload.etag else Lease.parse(stored.body)

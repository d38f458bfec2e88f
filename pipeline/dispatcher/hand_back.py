"""Gives jobs back that were handed to an engine and that no worker has started."""

from collections.abc import Iterable

import structlog

from config.errors import StoreError
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.conditional import SafeStore, Won


def hand_back(store: SafeStore, payloads: Iterable[SpawnPayload]) -> int:
    """Make these jobs due at once for whoever dispatches next. How many were handed back.

    Each write holds only for the claim that the payload was made for, so it is safe whoever has the
    job by now: one that was started, or claimed anew, has another ETag. It counts as no failure. A
    store that is away leaves them leased until they lapse; nothing is raised.
    """
    handed_back = 0
    try:
        for payload in payloads:
            lease = payload.lease or _lease(store, payload)
            if lease is not None:
                free = lease.waiting(not_before=store.now())
                outcome = store.replace(lease_key(payload.id), free.body(), payload.etag)
                handed_back += isinstance(outcome, Won)
    except StoreError as error:
        structlog.get_logger(__name__).warning("not_handed_back", error=error.message)
    if handed_back:
        structlog.get_logger(__name__).info("handed_back", jobs=handed_back)
    return handed_back


def _lease(store: SafeStore, payload: SpawnPayload) -> Lease | None:
    """Of a payload that was too large to carry it."""
    stored = store.get(lease_key(payload.id))
    return None if stored is None or stored.etag != payload.etag else Lease.parse(stored.body)

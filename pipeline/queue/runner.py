"""Performs the calls of a procedure on a store."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.contract.keys import MAX_BYTES, lease_key, manifest_key, result_key
from pipeline.queue.protocol import (
    Call,
    CreateLease,
    CreateManifest,
    CreateResult,
    DropInbox,
    DropLease,
    End,
    ReadInbox,
    ReadManifest,
    ReadResult,
    ReplaceLease,
    Step,
)
from pipeline.store.conditional import SafeStore

Performer = Callable[[Any], Any]


def run(step: Step, store: SafeStore, others: Mapping[type, Performer] | None = None) -> End:
    """Run a procedure to its end. `others` perform the calls that are no store calls, by their
    type.

    Raises StoreUnavailable when the store stays unclear: the lease then lapses and is taken over.
    What a performer raises passes through.
    """
    state: Step | End = step
    while not isinstance(state, End):
        state = state.next(perform(state.call, store, others or {}))
    return state


def perform(call: Call, store: SafeStore, others: Mapping[type, Performer]) -> Any:
    """The reply that the call names. Raises KeyError for a call that neither the store nor `others`
    perform."""
    match call:
        case CreateLease(lease):
            return store.create(lease_key(lease.id), lease.body())
        case ReplaceLease(lease, etag):
            return store.replace(lease_key(lease.id), lease.body(), etag)
        case DropLease(id):
            return store.delete(lease_key(id))
        case ReadInbox(key):
            return store.get(key, limit=MAX_BYTES + 1)
        case DropInbox(key, etag):
            return store.delete_matching(key, etag)
        case ReadManifest(id):
            return store.get(manifest_key(id))
        case CreateManifest(id, body):
            return store.create(manifest_key(id), body)
        case ReadResult(id):
            return store.get(result_key(id))
        case CreateResult(result):
            return store.create(result_key(result.id), result.body())
    return others[type(call)](call)

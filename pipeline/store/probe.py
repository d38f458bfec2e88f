"""Does this store keep the promises that the queue rests on? Asked at start-up and by `doctor`."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from config.errors import StoreDenied, StoreNotConditional, StoreUnavailable
from pipeline.store.base import (
    Always,
    Busy,
    IfAbsent,
    IfMatch,
    OutcomeUnknown,
    PreconditionFailed,
    Store,
)

PREFIX = "checks/"
BUSY, BUSY_S = 3, 1.0
"""So often a store may ask to come again, after so many seconds."""
_HINT = (
    "The queue needs If-None-Match and If-Match on PUT, as S3, R2, MinIO and SeaweedFS have them."
)


@dataclass(frozen=True)
class Probe:
    """One promise: what was asked and whether the store kept it."""

    promise: str
    kept: bool


def probe(
    store: Store, nonce: str, sleep: Callable[[float], None] = time.sleep
) -> tuple[Probe, ...]:
    """Try every conditional operation on a key of our own under checks/, and remove it again.

    `nonce` makes the key. Raises Busy, OutcomeUnknown, StoreDenied.
    """
    key = f"{PREFIX}{nonce}.json"

    def write(number: int, condition: IfAbsent | IfMatch) -> str | None:
        return _write(store, key, number, condition, sleep)

    try:
        created = write(1, IfAbsent())
        created_twice = write(2, IfAbsent())
        current = store.get(key)
        here = IfMatch(current.etag if current else "")
        replaced = write(3, here)
        replaced_stale = write(4, here)
        stored = store.get(key)
        listed = [entry.etag for entry in store.list(key).entries]
        store.delete(key)
        left = store.get(key)
        replaced_missing = write(5, IfMatch(replaced or here.etag))
    finally:
        store.delete(key)
    return (
        Probe("If-None-Match: * creates a key", created is not None),
        Probe("a second If-None-Match: * is refused", created_twice is None),
        Probe("a matching If-Match replaces", replaced is not None),
        Probe("a stale If-Match is refused", replaced_stale is None),
        Probe("If-Match on a missing key is refused", replaced_missing is None),
        Probe("refused writes leave the object alone", bool(stored and stored.body == _body(3))),
        Probe("a LIST right after the PUT shows it, with the same ETag", listed == [replaced]),
        Probe("a deleted object is gone at once", left is None),
    )


def honours_if_match_on_delete(store: Store, nonce: str) -> bool:
    """Whether DELETE honours If-Match. S3 and SeaweedFS do, R2 does not say so: where it does not,
    the queue goes on without. Tried like the rest, on a key of our own."""
    key = f"{PREFIX}{nonce}.delete.json"
    etag = store.put(key, _body(1), Always()).etag
    refused = _refuses_delete(store, key, etag[::-1]) and store.get(key) is not None
    removed = not _refuses_delete(store, key, etag) and store.get(key) is None
    if not removed:
        store.delete(key)
    return refused and removed


def _refuses_delete(store: Store, key: str, etag: str) -> bool:
    try:
        store.delete(key, IfMatch(etag))
    except (PreconditionFailed, StoreDenied, StoreNotConditional):
        return True
    return False


def require_conditional(
    store: Store, nonce: str, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Raises StoreNotConditional with the broken promises, StoreUnavailable without an answer."""
    try:
        broken = [item.promise for item in probe(store, nonce, sleep) if not item.kept]
    except (Busy, OutcomeUnknown) as error:
        raise StoreUnavailable(f"the store gave no clear answer: {error}") from error
    if broken:
        raise StoreNotConditional(
            f"the store breaks a promise: not so: {'; '.join(broken)}", hint=_HINT
        )


def _write(
    store: Store,
    key: str,
    number: int,
    condition: IfAbsent | IfMatch,
    sleep: Callable[[float], None],
) -> str | None:
    """The ETag, or None if the condition did not hold. R2 may want a second between two writes."""
    busy = 0
    while True:
        try:
            return store.put(key, _body(number), condition).etag
        except PreconditionFailed:
            return None
        except Busy:
            if busy == BUSY:
                raise
        busy += 1
        sleep(BUSY_S)


def _body(number: int) -> bytes:
    return b'{"probe":%d}' % number

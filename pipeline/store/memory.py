"""An object store in memory with the exact semantics of the port, for tests and experiments."""

import hashlib
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from datetime import UTC, datetime

from pipeline.store.base import (
    ALWAYS,
    Always,
    Condition,
    Entry,
    IfAbsent,
    IfMatch,
    Page,
    PreconditionFailed,
    Stored,
    Written,
)


def wall_clock() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    """Strongly consistent and atomic; its clock ticks in whole seconds, as a real store's does."""

    def __init__(self, clock: Callable[[], datetime] = wall_clock) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[bytes, Entry]] = {}
        self._keys: list[str] = []
        self._lock = threading.Lock()

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        with self._lock:
            if key not in self._objects:
                return None
            body, entry = self._objects[key]
            part = body[offset:][:limit]
            return Stored(part, len(body), entry.etag, entry.last_modified, self._now())

    def put(
        self,
        key: str,
        body: bytes,
        condition: Condition,
        content_type: str = "application/json",  # noqa: ARG002  kept by real stores only
    ) -> Written:
        with self._lock:
            current = self._objects.get(key)
            if isinstance(condition, IfAbsent) and current is not None:
                raise PreconditionFailed(key)
            if isinstance(condition, IfMatch) and (
                current is None or current[1].etag != condition.etag
            ):
                raise PreconditionFailed(key)
            if current is None:
                insort(self._keys, key)
            now = self._now()
            etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
            self._objects[key] = (bytes(body), Entry(key, etag, len(body), now))
            return Written(etag, now)

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        with self._lock:
            current = self._objects.get(key)
            if current is None:
                return
            if isinstance(condition, IfMatch) and current[1].etag != condition.etag:
                raise PreconditionFailed(key)
            del self._objects[key]
            del self._keys[bisect_left(self._keys, key)]

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        with self._lock:
            first = max(bisect_left(self._keys, prefix), bisect_right(self._keys, start_after))
            entries: list[Entry] = []
            for key in self._keys[first : first + limit + 1]:
                if not key.startswith(prefix):
                    break
                entries.append(self._objects[key][1])
            return Page(tuple(entries[:limit]), len(entries) > limit, self._now())

    def _now(self) -> datetime:
        return self._clock().replace(microsecond=0)

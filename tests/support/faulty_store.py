"""A store whose calls go wrong where a test says so."""

from collections.abc import Callable
from enum import Enum, auto
from threading import Lock
from typing import TypeVar

from pipeline.store.base import (
    ALWAYS,
    Always,
    Busy,
    Condition,
    IfMatch,
    OutcomeUnknown,
    Page,
    PreconditionFailed,
    Store,
    Stored,
    Written,
)

T = TypeVar("T")


class Died(BaseException):
    """The process is gone; nothing catches this but the test."""


class Fault(Enum):
    DIES_BEFORE = auto()
    DIES_AFTER = auto()
    REPLY_LOST = auto()
    """Timeout, broken connection or 5xx, and the call was carried out."""
    NOT_APPLIED = auto()
    """The same, and it was not."""
    BUSY = auto()
    """409, 429 or 503."""
    OWN_SUCCESS_IS_412 = auto()
    """A retry below us met what the first try had written."""


class FaultyStore:
    """One process's way to a store. Calls are numbered from 0; a process that died makes none."""

    def __init__(self, store: Store, fault_at: Callable[[int], Fault | None]) -> None:
        self._store = store
        self._fault_at = fault_at
        self._lock = Lock()
        self._dead = False
        self.calls: list[tuple[str, str]] = []

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        return self._do("GET", key, lambda: self._store.get(key, offset=offset, limit=limit))

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        conditional = not isinstance(condition, Always)
        return self._do(
            "PUT", key, lambda: self._store.put(key, body, condition, content_type), conditional
        )

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        conditional = isinstance(condition, IfMatch)
        self._do("DELETE", key, lambda: self._store.delete(key, condition), conditional)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        return self._do(
            "LIST", prefix, lambda: self._store.list(prefix, start_after=start_after, limit=limit)
        )

    def _do(self, name: str, key: str, call: Callable[[], T], conditional: bool = False) -> T:
        with self._lock:
            number = len(self.calls)
            self.calls.append((name, key))
        fault = None if self._dead else self._fault_at(number)
        if self._dead or fault is Fault.DIES_BEFORE:
            self._die()
        if fault is Fault.BUSY:
            raise Busy("503 SlowDown")
        if fault is Fault.NOT_APPLIED:
            raise OutcomeUnknown("timeout")
        reply = call()
        if fault is Fault.DIES_AFTER:
            self._die()
        if fault is Fault.REPLY_LOST or (fault is Fault.OWN_SUCCESS_IS_412 and not conditional):
            raise OutcomeUnknown("connection reset")
        if fault is Fault.OWN_SUCCESS_IS_412:
            raise PreconditionFailed(key)
        return reply

    def _die(self) -> None:
        self._dead = True
        raise Died

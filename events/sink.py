"""The port that events leave by."""

from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Protocol

from events.stored_event import StoredEvent


class NotDelivered(Exception):
    """Nobody has confirmed to have it; the same delivery may be tried again, whole."""

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        tried: bool = True,
    ) -> None:
        super().__init__(reason)
        self.status = status
        """What the server answered, if it did."""
        self.retry_after_s = retry_after_s
        """What the server asked for."""
        self.tried = tried
        """False when nothing was sent, so that it does not count as one of a bounded number."""


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, whichever of its two forms it has (RFC 9110,
    10.2.3); below 0 for a date that has passed, None where it asks for nothing readable."""
    if header is None:
        return None
    if header.isdecimal():
        return float(header[:9])
    try:
        return (parsedate_to_datetime(header) - now).total_seconds()
    except (ValueError, TypeError):
        return None


class EventSink(Protocol):
    """Returning means received: confirmed by the other side, not merely handed over.

    Events come at least once: a replay, or the rest of a batch that failed half-way, brings an
    event again with the uuid it had.
    """

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        """Deliver all. Returns those that the other side will never take; the rest arrived.

        Raises NotDelivered.
        """


class MemorySink:
    """Keeps events in memory, for tests."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._events: dict[str, StoredEvent] = {}

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        with self._lock:
            for event in events:
                self._events.setdefault(event.uuid, event)
        return ()

    @property
    def events(self) -> list[StoredEvent]:
        """What arrived, each event once, in order."""
        with self._lock:
            return list(self._events.values())

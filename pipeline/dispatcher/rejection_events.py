"""Events of entries under rejected/, which have no lease that could stand for what is owed.

Each lies in an object of its own under outbox/, written before the entry leaves the inbox and
deleted when the event has arrived. A dispatcher looks there from time to time, so what a process
left behind is sent by the next one. The listing is as long as what is owed, not as the history.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from config.errors import RylaError
from events.sender import Delivery, Sender
from events.sink import NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import OUTBOX, outbox_key
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore
from system.backoff import Backoff

LOOK_S = 300.0
"""Between two looks that find nothing."""
PER_LOOK = 100
"""Events read at a look, and sent in one delivery."""
PAUSES = Backoff(first_s=60.0, longest_s=3600.0)
"""After events that did not arrive."""
KEPT_S = 7 * 86_400.0
"""An older event that fails again is given up; it still stands under rejected/."""


def send_rejection(store: SafeStore, sender: Sender, rejected: str, event: StoredEvent) -> None:
    """Store the event of that object under rejected/, then send it. `rejected` is the object's key.
    Raises StoreUnavailable or StoreDenied."""
    key = outbox_key(rejected)
    store.create(key, event.model_dump_json().encode())
    sender.submit(Delivery((event,), lambda: store.delete(key), lambda _: None))


class RejectionEvents:
    """Remembers, for one dispatching process, when to look for events that are still owed."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._due = -math.inf
        self._after = ""
        """Where the next look goes on, so that no key keeps those behind it waiting."""
        self._failures = 0

    def send_due(self, store: SafeStore, sender: Sender) -> None:
        """To be called with each tick. One LIST when a look is due and PostHog takes events;
        never raises."""
        if self._monotonic() < self._due or sender.room() <= 0:
            return
        self._due = math.inf
        try:
            page = store.list(OUTBOX, start_after=self._after, limit=PER_LOOK)
            self._after = page.entries[-1].key if page.truncated else ""
            owed = _read(store, page.entries)
        except RylaError as error:
            structlog.get_logger(__name__).warning("outbox_not_read", error=error.message)
            self._due = self._monotonic() + LOOK_S
            return
        if not owed:
            self._look_again()
            return
        sender.submit(
            Delivery(
                [event for _, event in owed],
                on_delivered=lambda: self._arrived(store, owed),
                on_undelivered=lambda failure: self._failed(store, owed, failure, page.date),
            )
        )

    def _look_again(self) -> None:
        """At once where there are more."""
        self._due = self._monotonic() + (0.0 if self._after else LOOK_S)

    def _arrived(self, store: SafeStore, owed: "Owed") -> None:
        self._failures = 0
        self._look_again()
        for entry, _ in owed:
            store.delete(entry.key)

    def _failed(
        self, store: SafeStore, owed: "Owed", failure: NotDelivered, date: datetime
    ) -> None:
        self._failures += 1
        self._due = self._monotonic() + PAUSES.pause_s(self._failures)
        if not failure.tried:
            return
        for entry, event in owed:
            if (date - entry.last_modified).total_seconds() > KEPT_S:
                structlog.get_logger(__name__).error(
                    "events_given_up",
                    key=entry.key,
                    uuid=event.uuid,
                    status=failure.status,
                    reason=str(failure),
                )
                store.delete(entry.key)


Owed = Sequence[tuple[Entry, StoredEvent]]


def _read(store: SafeStore, entries: Sequence[Entry]) -> Owed:
    """What is no event, such as a later version's, is left alone."""
    owed = []
    for entry in entries:
        stored = store.get(entry.key)
        if stored is not None:
            with suppress(ValueError):
                owed.append((entry, StoredEvent.model_validate_json(stored.body)))
    return owed

"""The last act of a job: its events go out, then its lease goes.

The lease is the marker that events are owed. It is deleted only when the other side has confirmed
them; until then the next take-over finds the result and replays what is stored in it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from config.settings import Settings
from events.delivery import NotDelivered
from events.outbox import StoredEvent
from events.sender import Delivery, Sender
from pipeline.keys import lease_key
from pipeline.lease import Lease
from pipeline.queue.rules import backoff
from pipeline.result import Result
from pipeline.store.conditional import SafeStore

REPLAY_PATIENCE = 12
"""Replays wait up to this many times longer than retries: nobody waits for an event."""


@dataclass(frozen=True)
class Settler:
    store: SafeStore
    sender: Sender
    settings: Settings
    jitter: Callable[[], float] = random.random

    def settle(self, result: Result, lease: Lease, etag: str) -> None:
        """Hand the result's events to the sender; returns at once."""
        tries = max(0, lease.attempt - result.attempt)
        self.sender.submit(
            Delivery(
                result.events,
                on_delivered=lambda: self.store.delete(lease_key(lease.id)),
                on_undelivered=lambda failure: self._owe(lease, etag, tries, failure),
            )
        )

    def announce(self, events: tuple[StoredEvent, ...]) -> None:
        """Send events that stand in an outbox too."""
        self.sender.best_effort(events)

    def _owe(self, lease: Lease, etag: str, tries: int, failure: NotDelivered) -> None:
        log = structlog.get_logger(__name__)
        if tries + 1 >= self.settings.event_tries:
            log.error("events_given_up", job=lease.id, tries=tries + 1, reason=str(failure))
            self.store.delete(lease_key(lease.id))
            return
        owing = self.owing(lease, tries, tried=failure.tried)
        # A lost reply or a lost race needs no answer: whoever has the lease now sees the result.
        self.store.replace(lease_key(lease.id), owing.body(), etag)

    def owing(self, lease: Lease, tries: int, *, tried: bool = True) -> Lease:
        """The lease of a job that only owes its events, due again after a growing pause."""
        pause = backoff(
            tries + 1,
            self.settings.backoff_base_seconds,
            self.settings.backoff_cap_seconds * REPLAY_PATIENCE,
            0.5 + self.jitter() / 2,
        )
        due = self.store.now() + timedelta(seconds=pause)
        # A try that was never made must not count, and tries are counted by attempts.
        attempt = lease.attempt if tried else max(0, lease.attempt - 1)
        return lease.waiting(not_before=due, committed=True, events=(), attempt=attempt)

"""The last act of a job: its events and its callback go out, then its lease is deleted.

The lease says that they are owed. It is deleted only when the other sides have confirmed them.

    result.json created
      ├─ callback ─┐  Both go to the sender at once, and neither waits for the other.
      └─ events ───┴─► all have answered
                         ├─ all arrived, or event_tries are used up ──► lease deleted
                         └─ something has not ──► lease RETRY, committed, not_before,
                                                  events_out / callback_out: what has arrived
                                                       │
      deliver() again, with the stored result ◄── take-over by a dispatcher, when due

A process that dies before the answers leaves the lease as it was. The lease lapses, and the same
take-over follows. Tries are counted by attempts: each take-over adds one to the lease's.
"""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from threading import Lock

import structlog

from config.settings import Settings
from events.sender import Delivery, Sender
from events.sink import NotDelivered
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease
from pipeline.contract.result import Result
from pipeline.notify.callbacks import Caller, target_of
from pipeline.public_https import INTERNET, PublicHttps
from pipeline.store.conditional import SafeStore
from system.backoff import Backoff

REPLAY_PATIENCE = 12
"""Replays wait up to this many times longer than retries: nobody waits for an event."""


class Pending(StrEnum):
    CALLBACK = "callback"
    EVENTS = "events"


def pending(result: Result, lease: Lease) -> list[Pending]:
    """What has not arrived yet. The callback comes first: somebody waits for it."""
    owed = {
        Pending.CALLBACK: result.callback_url is not None and not lease.callback_out,
        Pending.EVENTS: not lease.events_out,
    }
    return [part for part, open in owed.items() if open]


class _Answers:
    """Collects what became of each debt; the last one decides what becomes of the lease."""

    def __init__(
        self, owed: Collection[Pending], then: Callable[[Mapping[Pending, NotDelivered]], None]
    ) -> None:
        self._lock = Lock()
        self._open = set(owed)
        self._failed: dict[Pending, NotDelivered] = {}
        self._then = then

    def note(self, part: Pending, failure: NotDelivered | None) -> None:
        with self._lock:
            self._open.remove(part)
            if failure is not None:
                self._failed[part] = failure
            if self._open:
                return
        self._then(self._failed)


@dataclass(frozen=True)
class ResultDelivery:
    store: SafeStore
    sender: Sender
    settings: Settings
    jitter: Callable[[], float] = random.random
    web: PublicHttps = INTERNET

    def deliver(self, result: Result, lease: Lease, etag: str) -> None:
        """Hand what is owed to the sender; returns at once."""
        tries = max(0, lease.attempt - result.attempt)
        owed = pending(result, lease)
        answers = _Answers(owed, lambda failed: self._close(lease, etag, tries, owed, failed))
        for part in owed:
            self._send(part, result, answers)

    def unreadable(self, lease: Lease, etag: str) -> None:
        """Of a result that this version cannot read: its events are owed all the same, and whoever
        can read it sends them. Given up after as many looks as there are tries."""
        failure = NotDelivered("result.json cannot be read", tried=True)
        events = (Pending.EVENTS,)
        self._close(lease, etag, lease.attempt, events, {Pending.EVENTS: failure})

    def _send(self, part: Pending, result: Result, answers: _Answers) -> None:
        def arrived() -> None:
            answers.note(part, None)

        def failed(failure: NotDelivered) -> None:
            answers.note(part, failure)

        if part is Pending.EVENTS:
            self.sender.submit(Delivery(result.events, arrived, failed))
            return
        caller = Caller(self.settings, self.store.now, self.web)
        self.sender.run(
            lambda: caller.call(result), arrived, failed, target=f"callback:{target_of(result)}"
        )

    def _close(
        self,
        lease: Lease,
        etag: str,
        tries: int,
        owed: Collection[Pending],
        failed: Mapping[Pending, NotDelivered],
    ) -> None:
        last = tries + 1 >= self.settings.event_tries
        if last:
            log = structlog.get_logger(__name__)
            for part, failure in failed.items():
                log.error(f"{part}_given_up", job=lease.id, tries=tries + 1, reason=str(failure))
        if last or not failed:
            self.store.delete(lease_key(lease.id))
            return
        tried = any(failure.tried for failure in failed.values())
        still_pending = self.still_pending(
            lease, tries, tried=tried, arrived=set(owed) - set(failed)
        )
        # A lost reply or a lost race needs no answer: whoever has the lease now sees the result.
        self.store.replace(lease_key(lease.id), still_pending.body(), etag)

    def still_pending(
        self, lease: Lease, tries: int, *, tried: bool = True, arrived: Collection[Pending] = ()
    ) -> Lease:
        """The lease of a job that only owes what has not arrived, due again after a growing pause.
        `arrived` came to what had arrived before."""
        backoff = Backoff(
            self.settings.backoff_base_seconds,
            self.settings.backoff_cap_seconds * REPLAY_PATIENCE,
        )
        pause = backoff.pause_s(tries + 1) * (0.5 + self.jitter() / 2)
        due = self.store.now() + timedelta(seconds=pause)
        # A try that was never made must not count, and tries are counted by attempts.
        attempt = lease.attempt if tried else max(0, lease.attempt - 1)
        return lease.waiting(
            not_before=due,
            committed=True,
            events=(),
            attempt=attempt,
            events_out=lease.events_out or Pending.EVENTS in arrived,
            callback_out=lease.callback_out or Pending.CALLBACK in arrived,
        )

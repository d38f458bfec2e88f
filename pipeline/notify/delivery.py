"""The last act of a job: its events and its callback go out, then its lease is deleted.

The lease says that they are owed. It is deleted only when the other sides have confirmed them.

    result.json created
      │   spend/…, what it cost; metrics.json, by the first delivery
      ├─ callback ─┐  Each goes to the queue of its target, and neither waits for the other.
      └─ events ───┴─► all have answered soon
                         ├─ all arrived, or their tries are used up ──► lease deleted
                         └─ else, or no answer yet ──► lease RETRY, committed, not_before,
                                                       events_out / callback_out: what has arrived
                                                            │
      deliver() again, with the stored result ◄── a later tick, when due and its target answers

What is pending holds no slot, and whoever ended the job goes on. A process that dies before the
answers leaves the lease as it was. The lease lapses, and a take-over finds the result.
"""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from threading import Lock
from typing import Any

import structlog

from config.settings import Settings
from events.sender import EVENTS, Delivery, Sender
from events.sink import NotDelivered
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease
from pipeline.contract.result import Result
from pipeline.notify.callbacks import Caller, target_of
from pipeline.notify.metrics_file import write_metrics
from pipeline.notify.spend_note import note_spend
from pipeline.public_https import INTERNET, PublicHttps
from pipeline.store.conditional import SafeStore, Won
from system.backoff import Backoff

REPLAY_PATIENCE = 12
"""Replays wait up to this many times longer than retries: nobody waits for an event."""


class Pending(StrEnum):
    """What a finished job may owe."""

    CALLBACK = "callback"
    EVENTS = "events"


def pending(result: Result, lease: Lease) -> list[Pending]:
    """What has not arrived yet. The callback comes first: somebody waits for it."""
    owed = {
        Pending.CALLBACK: result.callback_url is not None and not lease.callback_out,
        Pending.EVENTS: not lease.events_out,
    }
    return [part for part, open in owed.items() if open]


def pending_targets(lease: Lease) -> list[str]:
    """Where what a committed job owes would go, as far as its lease tells. A version before this
    one noted no host: a callback of its leases waits for the events, or is of no known target."""
    host = None if lease.callback_out else lease.callback_host
    targets = [callback_target(host)] if host is not None else []
    if not lease.events_out:
        targets.append(EVENTS)
    return targets or [callback_target("")]


def callback_target(host: str) -> str:
    """What the sender calls the target of callbacks to this host."""
    return f"callback:{host}"


def pending_lease(lease: Lease, result: Result | None, **changes: Any) -> Lease:
    """The lease of a job that is over but for what it owes. `result` is None where it cannot be
    read."""
    host = lease.callback_host
    if result is not None and result.callback_url is not None:
        host = target_of(result)
    return lease.waiting(committed=True, events=(), callback_host=host, **changes)


@dataclass(frozen=True)
class ResultDelivery:
    """The ports of a delivery; the module's head draws its way."""

    store: SafeStore
    sender: Sender
    settings: Settings
    jitter: Callable[[], float] = random.random
    """A number from 0 to 1."""
    web: PublicHttps = INTERNET

    def deliver(self, result: Result, lease: Lease, etag: str) -> None:
        """Hand what is owed to the sender, without waiting for anything but the store. `etag` is
        that of the lease. The first delivery writes metrics.json, whoever makes it.

        Raises StoreUnavailable or StoreDenied, where nothing is owed and the lease cannot be
        deleted.
        """
        if not lease.deliveries:  # from here on nobody counts the job by its lease
            note_spend(self.store, result)
        if result.metrics is not None and not lease.committed:
            write_metrics(self.store, result.id, result.attempt, result.metrics)
        owed = pending(result, lease)
        if not owed:
            self.store.delete(lease_key(lease.id))
            return
        replay = _Replay(self, result, lease, etag, owed)
        for part in owed:
            self._send(part, result, replay)

    def unreadable(self, lease: Lease, etag: str) -> None:
        """Of a result that this version cannot read: its events are owed all the same, and whoever
        can read it sends them. Given up after as many looks as there are tries."""
        failure = NotDelivered("result.json cannot be read", tried=True)
        replay = _Replay(self, None, lease, etag, (Pending.EVENTS,))
        replay.note(Pending.EVENTS, failure)

    def _send(self, part: Pending, result: Result, replay: "_Replay") -> None:
        def arrived() -> None:
            replay.note(part, None)

        def failed(failure: NotDelivered) -> None:
            replay.note(part, failure)

        if part is Pending.EVENTS:
            self.sender.submit(Delivery(result.events, arrived, failed, replay.slow))
            return
        caller = Caller(self.settings, self.store.now, self.web)
        self.sender.run(
            lambda: caller.call(result),
            arrived,
            failed,
            on_slow=replay.slow,
            target=callback_target(target_of(result)),
        )

    def still_pending(
        self,
        lease: Lease,
        result: Result | None,
        failed: Mapping[Pending, NotDelivered],
        done: Collection[Pending],
    ) -> Lease:
        """The lease after a delivery in which some parts failed: due again after a pause that grows
        with every delivery, sent or not. `done` arrived, or were given up."""
        number = lease.deliveries + 1
        pause = pauses(self.settings).pause_s(number) * (0.5 + self.jitter() / 2)
        return _marked(
            lease,
            result,
            done,
            not_before=self.store.now() + timedelta(seconds=pause),
            deliveries=number,
            delivery_tries=lease.delivery_tries + _was_sent(failed.get(Pending.EVENTS)),
            callback_tries=lease.callback_tries + _was_sent(failed.get(Pending.CALLBACK)),
        )


def pauses(settings: Settings) -> Backoff:
    """Between the deliveries of one job, by their number; of each up to a half is jitter."""
    longest_s = settings.backoff_cap_seconds * REPLAY_PATIENCE
    return Backoff(settings.backoff_base_seconds, longest_s)


def _was_sent(failure: NotDelivered | None) -> bool:
    return failure is not None and failure.tried


def _marked(
    lease: Lease, result: Result | None, done: Collection[Pending], **changes: Any
) -> Lease:
    return pending_lease(
        lease,
        result,
        events_out=lease.events_out or Pending.EVENTS in done,
        callback_out=lease.callback_out or Pending.CALLBACK in done,
        **changes,
    )


class _Replay:
    """One delivery of what a job owes: the last answer decides what becomes of its lease."""

    def __init__(
        self,
        delivery: ResultDelivery,
        result: Result | None,
        lease: Lease,
        etag: str,
        owed: Collection[Pending],
    ) -> None:
        self._delivery = delivery
        self._result = result
        self._lease = lease
        self._etag = etag
        self._lock = Lock()
        self._open = set(owed)
        self._done: set[Pending] = set()
        self._failed: dict[Pending, NotDelivered] = {}

    def note(self, part: Pending, failure: NotDelivered | None) -> None:
        with self._lock:
            self._open.remove(part)
            if failure is None or self._gives_up(part, failure):
                self._done.add(part)
            else:
                self._failed[part] = failure
            if not self._open:
                self._close()

    def slow(self) -> None:
        """Mark what has no answer yet as pending, so that it holds no slot. Not before it may be
        too late for an answer is it due to be sent again."""
        with self._lock:
            if self._lease.committed or not self._open:
                return
            d, settings = self._delivery, self._delivery.settings
            answer_s = max(settings.posthog_timeout_seconds, settings.callback_timeout_seconds)
            due = d.store.now() + timedelta(seconds=answer_s + settings.backoff_base_seconds)
            marked = _marked(self._lease, self._result, self._done, not_before=due)
            outcome = d.store.replace(lease_key(marked.id), marked.body(), self._etag)
            if isinstance(outcome, Won):
                self._lease, self._etag = marked, outcome.etag

    def _gives_up(self, part: Pending, failure: NotDelivered) -> bool:
        """Whether it was sent as often as it may be. What was not sent now is never at its end."""
        before = {
            Pending.EVENTS: self._lease.delivery_tries,
            Pending.CALLBACK: self._lease.callback_tries,
        }
        tries = before[part] + 1
        if not failure.tried or tries < self._delivery.settings.event_tries:
            return False
        structlog.get_logger(__name__).error(
            f"{part}_given_up",
            job=self._lease.id,
            tries=tries,
            status=failure.status,
            reason=str(failure),
        )
        return True

    def _close(self) -> None:
        d, key = self._delivery, lease_key(self._lease.id)
        if not self._failed:
            d.store.delete(key)
            return
        still_pending = d.still_pending(self._lease, self._result, self._failed, self._done)
        # A lost reply or a lost race needs no answer: whoever has the lease now sees the result.
        d.store.replace(key, still_pending.body(), self._etag)

"""One thread that sends what jobs leave behind, so that no job waits for it."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition, Thread
from types import TracebackType
from typing import Self

import structlog

from events.breaker import Breaker
from events.outbox import StoredEvent
from events.sink import EventSink, NotDelivered
from system.backoff import Backoff

BACKOFF = Backoff(first_s=2.0, longest_s=60.0)
"""Of a destination that fails."""


@dataclass(frozen=True)
class Delivery:
    """The events of one job, and what happens then. Exactly one of the two is called, once."""

    events: Sequence[StoredEvent]
    on_delivered: Callable[[], None]
    on_undelivered: Callable[[NotDelivered], None]


@dataclass
class Counts:
    delivered: int = 0
    """Deliveries."""
    undelivered: int = 0
    refused: int = 0
    """Events that the other side will never take."""


@dataclass(frozen=True, eq=False)
class _Task:
    target: str
    send: Callable[[], object]
    on_delivered: Callable[[], None]
    on_undelivered: Callable[[NotDelivered], None]


class Sender:
    """Sends deliveries in the order they come, each tried once; whoever stored one tries again.

    No call but close() waits. Callbacks run in the sender's thread; only close() and what is
    submitted after it are answered in the caller's.
    """

    def __init__(
        self,
        sink: EventSink,
        *,
        capacity: int = 1000,
        backoff: Backoff = BACKOFF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Beyond `capacity` waiting deliveries, further ones are not tried."""
        self.counts = Counts()
        self._sink = sink
        self._capacity = capacity
        self._backoff = backoff
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}
        self._changed = Condition()
        self._waiting: deque[_Task] = deque()
        self._current: _Task | None = None
        self._closing = False
        self._thread = Thread(target=self._work, name="sender", daemon=True)
        self._thread.start()

    def submit(self, delivery: Delivery) -> None:
        self.run(
            lambda: self._deliver(delivery.events), delivery.on_delivered, delivery.on_undelivered
        )

    def best_effort(self, events: Sequence[StoredEvent]) -> None:
        """Send events that are also stored elsewhere, and forget about them."""
        self.run(lambda: self._deliver(events), lambda: None, lambda _: None)

    def run(
        self,
        send: Callable[[], object],
        on_delivered: Callable[[], None],
        on_undelivered: Callable[[NotDelivered], None],
        *,
        target: str = "events",
    ) -> None:
        """Anything else that is sent and answered for. `send` raises NotDelivered.

        `target` names what a failure says something about, such as a host.
        """
        task = _Task(target, send, on_delivered, on_undelivered)
        with self._changed:
            if not self._closing:
                if len(self._waiting) >= self._capacity:
                    # Without its load: the answer is all that is kept.
                    task = _Task(target, _full, on_delivered, on_undelivered)
                self._waiting.append(task)
                self._changed.notify()
                return
        self._answer(task, NotDelivered("the sender is closed", tried=False))

    def close(self, timeout_s: float) -> None:
        """Send what waits for at most `timeout_s`; answer for the rest that it is undelivered."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            current, rest = self._current, list(self._waiting)
            self._current = None
            self._waiting.clear()
        if current:
            self._answer(current, NotDelivered("the sender was closed while it was sent"))
        for task in rest:
            self._answer(task, NotDelivered("the sender was closed", tried=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(timeout_s=10.0)

    def _deliver(self, events: Sequence[StoredEvent]) -> None:
        self.counts.refused += len(self._sink.deliver(events))

    def _work(self) -> None:
        while task := self._next():
            failure = self._try(task)
            with self._changed:
                if self._current is not task:
                    return  # close() gave up waiting and has answered for it
                self._current = None
            self._answer(task, failure)

    def _next(self) -> _Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._current = self._waiting.popleft() if self._waiting else None
            return self._current

    def _try(self, task: _Task) -> NotDelivered | None:
        breaker = self._breakers.get(task.target, Breaker())
        if not breaker.allows(self._clock()):
            return NotDelivered(f"paused after {breaker.failures} failures", tried=False)
        log = structlog.get_logger(__name__)
        try:
            task.send()
        except NotDelivered as failure:
            if failure.tried:
                later = breaker.failed(self._clock(), self._backoff, failure.retry_after_s)
                self._breakers[task.target] = later
                log.warning("not_delivered", target=task.target, reason=str(failure))
            return failure
        except Exception as error:  # the thread must outlive what it runs
            log.exception("delivery_broke", target=task.target)
            return NotDelivered(f"{type(error).__name__}: {error}")
        self._breakers.pop(task.target, None)
        return None

    def _answer(self, task: _Task, failure: NotDelivered | None) -> None:
        with self._changed:
            if failure is None:
                self.counts.delivered += 1
            else:
                self.counts.undelivered += 1
        try:
            if failure is None:
                task.on_delivered()
            else:
                task.on_undelivered(failure)
        except Exception:  # noqa: BLE001 the thread must outlive what it calls
            structlog.get_logger(__name__).exception("callback_broke", target=task.target)


def _full() -> None:
    raise NotDelivered("too many deliveries are waiting", tried=False)

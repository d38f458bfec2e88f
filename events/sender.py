"""What jobs leave behind is sent by threads of its own, so that no job waits for it.

Each target (the events' sink, each callback's host) has a queue and a thread: one that hangs holds
up no other. A target that failed is left alone for a growing pause, and one that does not answer is
given nothing more until it does; whoever asks meanwhile is told so at once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition, Event, Thread
from typing import Self

import structlog

from events.breaker import Breaker
from events.lane import SLOW_S, Lane, Task
from events.sink import EventSink, NotDelivered
from events.stored_event import StoredEvent
from system.backoff import Backoff

BACKOFF = Backoff(first_s=2.0, longest_s=60.0)
"""Of a target that fails."""
EVENTS = "events"
"""The target of events."""
LOOK_S = 0.1
"""Between two looks for slow deliveries."""
CLOSE_LOOK_S = 0.02
"""Between two looks of close() at what is still being sent."""


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Delivery:
    """The events of one job, and what happens then. One of the first two is called, once."""

    events: Sequence[StoredEvent]
    on_delivered: Callable[[], None]
    on_undelivered: Callable[[NotDelivered], None]
    on_slow: Callable[[], None] = _nothing
    """Called at most once, when there is no answer after SLOW_S; one may come meanwhile."""


@dataclass
class Counts:
    """Since the sender began."""

    delivered: int = 0
    """Deliveries."""
    undelivered: int = 0
    """Deliveries, also those that were not tried."""
    refused: int = 0
    """Events that the other side will never take."""


class Sender:
    """Sends deliveries to each target in the order they come, each tried once; whoever stored one
    tries again.

    No call but close() waits. What is not taken is answered in the caller's thread, at once, all
    else in threads of the sender's: answers come in no order.
    """

    def __init__(
        self,
        sink: EventSink,
        *,
        capacity: int = 1000,
        backoff: Backoff = BACKOFF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Beyond `capacity` waiting deliveries of a target, further ones are not tried."""
        self.counts = Counts()
        self._sink = sink
        self._capacity = capacity
        self._backoff = backoff
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._changed = Condition()
        self._closing = False
        self._closed = Event()
        self._start(self._watch, "sender-watch")

    def submit(self, delivery: Delivery) -> None:
        self.run(
            lambda: self.deliver(delivery.events),
            delivery.on_delivered,
            delivery.on_undelivered,
            on_slow=delivery.on_slow,
        )

    def best_effort(self, events: Sequence[StoredEvent]) -> None:
        """Send events that are also stored elsewhere, and forget about them."""
        self.run(lambda: self.deliver(events), _nothing, lambda _: None)

    def run(
        self,
        send: Callable[[], object],
        on_delivered: Callable[[], None],
        on_undelivered: Callable[[NotDelivered], None],
        *,
        on_slow: Callable[[], None] = _nothing,
        target: str = EVENTS,
    ) -> None:
        """Anything else that is sent and answered for. `send` raises NotDelivered.

        `target` names what a failure says something about, such as a host.
        """
        task = Task(send, on_delivered, on_undelivered, on_slow, self._clock())
        with self._changed:
            refusal = "the sender is closed" if self._closing else self._take(target, task)
        if refusal is not None:
            self._answer(target, task, NotDelivered(refusal, tried=False))

    def _take(self, target: str, task: Task) -> str | None:
        lane = self._lanes.get(target)
        if lane is None:
            lane = self._lanes[target] = Lane(target)
            self._start(lambda: self._work(lane), f"sender-{target}")
        refusal = lane.refusal(self._clock(), self._capacity)
        if refusal is None:
            lane.waiting.append(task)
            self._changed.notify_all()
        return refusal

    def room(self, target: str = EVENTS) -> int:
        """How many deliveries that wait elsewhere are worth handing in now: none to a target that
        pauses or does not answer, one to a target that has taken nothing yet, or that failed."""
        with self._changed:
            lane = self._lanes.get(target, Lane(target))
            if self._closing or lane.refusal(self._clock(), self._capacity) is not None:
                return 0
            if lane.answered and not lane.breaker.failures:
                return self._capacity - len(lane.waiting)
            return int(not lane.busy)

    def close(self, timeout_s: float) -> None:
        """Send what waits and see it answered for, for at most `timeout_s`; wait for no target that
        does not answer; answer for the rest that it is undelivered."""
        until = time.monotonic() + timeout_s
        self._closed.set()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            while time.monotonic() < until and any(map(self._moves, self._lanes.values())):
                self._changed.wait(min(CLOSE_LOOK_S, timeout_s))
            rest = [(lane, lane.current, tuple(lane.waiting)) for lane in self._lanes.values()]
            for lane in self._lanes.values():
                lane.current = None
                lane.waiting.clear()
            self._changed.notify_all()
        for lane, current, waiting in rest:
            if current is not None:
                failure = NotDelivered("the sender was closed while it was sent")
                self._answer(lane.target, current, failure)
            for task in waiting:
                self._answer(lane.target, task, NotDelivered("the sender was closed", tried=False))

    def _moves(self, lane: Lane) -> bool:
        slow = lane.current is not None and self._clock() - lane.sent_at > SLOW_S
        return lane.answering or (lane.busy and not slow)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(timeout_s=10.0)

    def _start(self, work: Callable[[], None], name: str) -> None:
        Thread(target=work, name=name, daemon=True).start()

    def deliver(self, events: Sequence[StoredEvent]) -> None:
        """Now, in the caller's thread: for what `run` sends. Raises NotDelivered."""
        self.counts.refused += len(self._sink.deliver(events))

    def _work(self, lane: Lane) -> None:
        while task := self._next(lane):
            failure, breaker = self._try(lane, task)
            with self._changed:
                if lane.current is not task:
                    return  # close() gave up waiting and has answered for it
                # In one step: a target that is said to pause is not also busy with what failed.
                lane.breaker, lane.current, lane.answering = breaker, None, True
                lane.answered = lane.answered or failure is None
            self._answer(lane.target, task, failure)
            with self._changed:
                lane.answering = False
                self._changed.notify_all()

    def _next(self, lane: Lane) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: lane.waiting or self._closing)
            lane.current = lane.waiting.popleft() if lane.waiting else None
            lane.sent_at = self._clock()
            return lane.current

    def _try(self, lane: Lane, task: Task) -> tuple[NotDelivered | None, Breaker]:
        """Why it was not delivered, and what is known of the target from now on."""
        known = lane.breaker
        if not known.allows(self._clock()):
            return NotDelivered(f"paused after {known.failures} failures", tried=False), known
        log = structlog.get_logger(__name__)
        try:
            task.send()
        except NotDelivered as failure:
            if not failure.tried:
                return failure, known
            log.warning("not_delivered", target=lane.target, reason=str(failure))
            return failure, known.failed(self._clock(), self._backoff, failure.retry_after_s)
        except Exception as error:  # the thread must outlive what it runs
            log.exception("delivery_broke", target=lane.target)
            return NotDelivered(f"{type(error).__name__}: {error}"), known
        return None, Breaker()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_S):
            with self._changed:
                now = self._clock()
                slow = [
                    (lane.target, task)
                    for lane in self._lanes.values()
                    for task in lane.unanswered()
                    if not task.slow and now - task.since > SLOW_S
                ]
                for _, task in slow:
                    task.slow = True
            for target, task in slow:
                self._call(target, task.on_slow)

    def _answer(self, target: str, task: Task, failure: NotDelivered | None) -> None:
        with self._changed:
            if failure is None:
                self.counts.delivered += 1
            else:
                self.counts.undelivered += 1
        if failure is None:
            self._call(target, task.on_delivered)
        else:
            self._call(target, lambda: task.on_undelivered(failure))

    def _call(self, target: str, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:  # noqa: BLE001 the thread must outlive what it calls
            structlog.get_logger(__name__).exception("callback_broke", target=target)

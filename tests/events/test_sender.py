import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from events.lane import SLOW_S
from events.posthog_sink import PostHogSink
from events.sender import BACKOFF, LOOK_S, Delivery, Sender
from events.sink import MemorySink, NotDelivered
from events.stored_event import StoredEvent
from system.backoff import Backoff
from tests.events.builders import completed, scores
from tests.support.posthog_receiver import Answer, PostHogReceiver

SOON = 10.0
"""Seconds that a test waits for what must happen."""


@dataclass
class Jobs:
    """Keeps, as leases do, which jobs' events are out; each job answers exactly once a sending."""

    delivered: list[str] = field(default_factory=list)
    undelivered: list[tuple[str, NotDelivered]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def delivery(self, job_id: str, events: Sequence[StoredEvent] | None = None) -> Delivery:
        def delivered() -> None:
            with self.changed:
                self.delivered.append(job_id)
                self.changed.notify()

        def undelivered(failure: NotDelivered) -> None:
            with self.changed:
                self.undelivered.append((job_id, failure))
                self.changed.notify()

        own = [completed(job_id)] if events is None else events
        return Delivery(own, delivered, undelivered)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=SOON)

    def wait_for_answers(self, count: int) -> None:
        self.wait_for(lambda: len(self.delivered) + len(self.undelivered) >= count)


class GatedSink(MemorySink):
    """Delivers when its gate is open, and says when something waits before it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.reached = threading.Event()

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        self.reached.set()
        assert self.gate.wait(SOON)
        return super().deliver(events)


class FailingSink(MemorySink):
    """Fails as told, and counts the tries."""

    def __init__(self, failure: Exception | None) -> None:
        super().__init__()
        self.failure = failure
        self.tries = 0

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        self.tries += 1
        if self.failure:
            raise self.failure
        return super().deliver(events)


TIMEOUT = 1.0
"""Seconds that a request to PostHog may take: more than a busy machine makes a call wait."""


class Clock:
    """Stands still until it is told, as pauses and slowness must not hang on the machine's pace."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def gated() -> Iterator[GatedSink]:
    sink = GatedSink()
    yield sink
    sink.gate.set()


def test_deliveries_are_sent_in_order_and_answered(jobs: Jobs) -> None:
    sink = MemorySink()
    with Sender(sink, clock=Clock()) as sender:
        for number in range(20):
            sender.submit(jobs.delivery(f"j{number}"))
    assert jobs.delivered == [f"j{number}" for number in range(20)]
    assert sink.events == [completed(job) for job in jobs.delivered]
    assert sender.counts.delivered == 20


def test_what_is_not_delivered_is_answered_with_the_reason(jobs: Jobs) -> None:
    with Sender(FailingSink(NotDelivered("503: busy")), clock=Clock()) as sender:
        sender.submit(jobs.delivery("j1"))
    ((job, failure),) = jobs.undelivered
    assert (job, str(failure), failure.tried) == ("j1", "503: busy", True)
    assert jobs.delivered == []


def test_a_sink_with_a_fault_of_its_own_does_not_stop_the_sender(jobs: Jobs) -> None:
    sink = FailingSink(RuntimeError("a bug"))
    with Sender(sink, clock=Clock()) as sender:
        sender.submit(jobs.delivery("j1"))
        jobs.wait_for_answers(1)
        sink.failure = None
        sender.submit(jobs.delivery("j2"))
    assert [(job, str(failure)) for job, failure in jobs.undelivered] == [
        ("j1", "RuntimeError: a bug")
    ]
    assert jobs.delivered == ["j2"]


def test_a_callback_with_a_fault_does_not_stop_the_sender(jobs: Jobs) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    with Sender(MemorySink(), clock=Clock()) as sender:
        sender.submit(Delivery([completed("j0")], broken, broken))
        sender.submit(jobs.delivery("j1"))
    assert jobs.delivered == ["j1"]
    assert jobs.undelivered == []


def test_events_that_are_refused_for_good_are_counted_and_the_delivery_is_done(jobs: Jobs) -> None:
    class Refusing(MemorySink):
        def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
            super().deliver(events[1:])
            return events[:1]

    with Sender(Refusing(), clock=Clock()) as sender:
        sender.submit(jobs.delivery("j1", scores("j1", 3)))
    assert jobs.delivered == ["j1"]
    assert sender.counts.refused == 1


def test_after_a_failure_nothing_is_tried_until_the_pause_is_over(jobs: Jobs) -> None:
    clock, sink = Clock(), FailingSink(NotDelivered("down"))
    with Sender(sink, backoff=Backoff(first_s=2, longest_s=60), clock=clock) as sender:

        def tries_at(now: float) -> int:
            clock.now = now
            answers = len(jobs.delivered) + len(jobs.undelivered)
            sender.submit(jobs.delivery("j"))
            jobs.wait_for_answers(answers + 1)
            return sink.tries

        assert tries_at(1000.0) == 1
        assert tries_at(1001.9) == 1
        assert jobs.undelivered[-1][1].tried is False
        assert tries_at(1002.0) == 2
        assert tries_at(1005.9) == 2, "the second pause is longer"
        sink.failure = None
        assert tries_at(1006.0) == 3
        sink.failure = NotDelivered("down again")
        assert tries_at(1006.1) == 4, "a success closed the breaker"
        assert tries_at(1008.0) == 4
        assert tries_at(1008.1) == 5, "and the pauses start again"


def test_one_destination_that_fails_does_not_pause_another(jobs: Jobs) -> None:
    called: list[str] = []
    with Sender(FailingSink(NotDelivered("down")), clock=Clock()) as sender:
        sender.submit(jobs.delivery("j1"))
        sender.run(
            lambda: called.append("sent"),
            lambda: called.append("answered"),
            lambda failure: called.append(str(failure)),
            target="callbacks.example.org",
        )
    assert called == ["sent", "answered"]


def test_best_effort_sends_and_asks_for_nothing(jobs: Jobs) -> None:
    sink = FailingSink(NotDelivered("down"))
    clock = Clock()
    with Sender(sink, clock=clock) as sender:
        sender.best_effort([completed("j1")])
        sender.submit(jobs.delivery("j2"))
        jobs.wait_for_answers(1)
        clock.now += 100
        sink.failure = None
        sender.best_effort([completed("j3")])
    assert sink.events == [completed("j3")]


def test_a_full_queue_answers_at_once_instead_of_waiting_or_forgetting(
    jobs: Jobs, gated: GatedSink
) -> None:
    with Sender(gated, capacity=3, clock=Clock()) as sender:
        sender.submit(jobs.delivery("sending"))
        assert gated.reached.wait(SOON)
        for number in range(10):
            sender.submit(jobs.delivery(f"j{number}"))
        assert not jobs.delivered
        assert len(jobs.undelivered) == 7
        gated.gate.set()
    assert jobs.delivered == ["sending", "j0", "j1", "j2"]
    assert [job for job, _ in jobs.undelivered] == [f"j{number}" for number in range(3, 10)]
    assert not any(failure.tried for _, failure in jobs.undelivered)
    assert len(gated.events) == 4


def test_a_full_queue_is_no_failure_of_the_destination(jobs: Jobs, gated: GatedSink) -> None:
    with Sender(gated, capacity=1, clock=Clock()) as sender:
        sender.submit(jobs.delivery("sending"))
        assert gated.reached.wait(SOON)
        for job in ("waiting", "too many"):
            sender.submit(jobs.delivery(job))
        gated.gate.set()
        jobs.wait_for_answers(3)
        sender.submit(jobs.delivery("next"))
    assert jobs.delivered == ["sending", "waiting", "next"]


def test_close_answers_for_what_it_could_not_send_in_time_and_only_once(
    jobs: Jobs, gated: GatedSink
) -> None:
    sender = Sender(gated, clock=Clock())
    for job in ("sending", "waiting"):
        sender.submit(jobs.delivery(job))
    assert gated.reached.wait(SOON)
    started = time.monotonic()
    sender.close(timeout_s=0.05)
    assert time.monotonic() - started < SOON / 2
    assert [(job, failure.tried) for job, failure in jobs.undelivered] == [
        ("sending", True),
        ("waiting", False),
    ]
    gated.gate.set()
    sender.close(timeout_s=SOON)
    assert jobs.delivered == []
    assert len(jobs.undelivered) == 2


def test_after_close_every_delivery_is_answered_at_once(jobs: Jobs) -> None:
    sender = Sender(MemorySink(), clock=Clock())
    sender.close(timeout_s=SOON)
    sender.submit(jobs.delivery("late"))
    ((job, failure),) = jobs.undelivered
    assert (job, failure.tried) == ("late", False)


def test_a_target_that_hangs_holds_up_no_other(jobs: Jobs) -> None:
    hang = threading.Event()
    with Sender(MemorySink(), clock=Clock()) as sender:
        for _ in range(3):
            sender.run(hang.wait, lambda: None, lambda _: None, target="callback:slow.example")
        sender.submit(jobs.delivery("j1"))
        jobs.wait_for_answers(1)
        assert jobs.delivered == ["j1"]
        hang.set()


def test_what_has_no_answer_soon_is_slow_and_may_still_arrive(jobs: Jobs, gated: GatedSink) -> None:
    slow: list[str] = []
    clock = Clock()
    with Sender(gated, clock=clock) as sender:
        for name in ("sending", "waiting"):
            delivery = jobs.delivery(name)
            sender.submit(replace(delivery, on_slow=partial(slow.append, name)))
        assert gated.reached.wait(SOON)
        clock.now += 2 * SLOW_S
        wait_until(lambda: len(slow) == 2)
        assert not jobs.delivered + jobs.undelivered
        sender.submit(jobs.delivery("too late"))
        ((job, failure),) = jobs.undelivered
        assert (job, failure.tried) == ("too late", False)
        assert sender.room() == 0
        gated.gate.set()
        jobs.wait_for_answers(3)
        time.sleep(3 * LOOK_S)
    assert jobs.delivered == ["sending", "waiting"]
    assert slow == ["sending", "waiting"], "each once"


def test_there_is_room_for_one_until_a_target_has_taken_something(
    jobs: Jobs, gated: GatedSink
) -> None:
    with Sender(gated, capacity=5, clock=Clock()) as sender:
        assert sender.room() == 1
        sender.submit(jobs.delivery("j1"))
        assert sender.room() == 0
        gated.gate.set()
        jobs.wait_for_answers(1)
        assert sender.room() == 5
        assert sender.room("callback:other.example") == 1
    assert sender.room() == 0


def test_a_target_that_failed_has_no_room_then_room_for_one_try(jobs: Jobs) -> None:
    clock, sink = Clock(), FailingSink(None)
    with Sender(sink, backoff=Backoff(first_s=2, longest_s=60), clock=clock) as sender:
        sender.submit(jobs.delivery("j1"))
        jobs.wait_for_answers(1)
        sink.failure = NotDelivered("down")
        sender.submit(jobs.delivery("j2"))
        jobs.wait_for_answers(2)
        assert sender.room() == 0
        clock.now += 2
        assert sender.room() == 1


def test_after_a_pause_only_one_is_tried_at_a_time(jobs: Jobs) -> None:
    class Gate(FailingSink):
        reached, gate = threading.Event(), threading.Event()

        def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
            if self.tries:
                self.reached.set()
                assert self.gate.wait(SOON)
            return super().deliver(events)

    clock, sink = Clock(), Gate(NotDelivered("down"))
    with Sender(sink, backoff=Backoff(first_s=2, longest_s=60), clock=clock) as sender:
        sender.submit(jobs.delivery("first"))
        jobs.wait_for_answers(1)
        clock.now += 2
        sender.submit(jobs.delivery("probe"))
        assert sink.reached.wait(SOON)
        assert sender.room() == 0
        sender.submit(jobs.delivery("next"))
        assert [(job, it.tried) for job, it in jobs.undelivered[1:]] == [("next", False)]
        sink.failure = None
        sink.gate.set()
        jobs.wait_for_answers(3)
    assert jobs.delivered == ["probe"]


def test_best_effort_is_dropped_at_once_while_the_target_pauses(jobs: Jobs) -> None:
    sink = FailingSink(NotDelivered("down"))
    with Sender(sink, clock=Clock()) as sender:
        sender.submit(jobs.delivery("j1"))
        jobs.wait_for_answers(1)
        for _ in range(50):
            sender.best_effort([completed("j2")])
        assert sender.counts.undelivered == 51, "none waits in the queue"
    assert sink.tries == 1


def test_close_waits_until_what_was_sent_is_also_answered(jobs: Jobs) -> None:
    """Its answer marks a lease: a process that ends before would have the job delivered again."""
    answering, answered = threading.Event(), list[str]()

    def slowly() -> None:
        answering.set()
        time.sleep(0.1)
        answered.append("j1")

    sender = Sender(MemorySink(), clock=Clock())
    sender.submit(replace(jobs.delivery("j1"), on_delivered=slowly))
    assert answering.wait(SOON)
    sender.close(timeout_s=SOON)
    assert answered == ["j1"]


def test_close_does_not_wait_for_a_target_that_hangs(jobs: Jobs, gated: GatedSink) -> None:
    clock = Clock()
    sender = Sender(gated, clock=clock)
    for job in ("sending", "waiting"):
        sender.submit(jobs.delivery(job))
    assert gated.reached.wait(SOON)
    clock.now += 2 * SLOW_S
    started = time.monotonic()
    sender.close(timeout_s=SOON)
    assert time.monotonic() - started < SOON / 2
    assert [(job, it.tried) for job, it in jobs.undelivered] == [
        ("sending", True),
        ("waiting", False),
    ]


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    "down", [Answer(hangs=True), Answer(status=500), None], ids=["hangs", "500", "refuses"]
)
def test_posthog_down_for_a_hundred_jobs_costs_them_no_time_and_no_event(
    receiver: PostHogReceiver, jobs: Jobs, down: Answer | None
) -> None:
    if down is None:
        receiver.stop()
    else:
        receiver.answer = down
    names = [f"j{number}" for number in range(100)]
    slowest = 0.0
    clock, sink = Clock(), PostHogSink("phc_test", receiver.url, timeout_s=TIMEOUT)
    with Sender(sink, clock=clock) as sender:
        for name in names:
            started = time.perf_counter()
            sender.best_effort([completed(name)])
            sender.submit(jobs.delivery(name))
            slowest = max(slowest, time.perf_counter() - started)
        assert slowest < TIMEOUT
        jobs.wait_for_answers(100)
        assert sorted(name for name, _ in jobs.undelivered) == sorted(names), "each once"
        assert not any(failure.tried for _, failure in jobs.undelivered), "one request showed it"

        receiver.answer = Answer()
        if down is None:
            receiver.start()
        clock.now += 2 * BACKOFF.first_s
        replay_until_all_are_delivered(sender, jobs, names)
    assert len(receiver.accepted()) == 100


def replay_until_all_are_delivered(sender: Sender, jobs: Jobs, names: Sequence[str]) -> None:
    """What ticks do: replay from the results what is not marked as delivered."""
    deadline = time.monotonic() + SOON
    while missing := [name for name in names if name not in jobs.delivered]:
        assert time.monotonic() < deadline
        answers = len(jobs.delivered) + len(jobs.undelivered)
        for name in missing:
            sender.submit(jobs.delivery(name))
        jobs.wait_for_answers(answers + len(missing))
        time.sleep(0.05)

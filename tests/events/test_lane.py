from collections import deque

import pytest

from events.breaker import Breaker
from events.lane import SLOW_S, Lane, Task
from system.backoff import Backoff

NOW = 1000.0
FAILED = Breaker().failed(NOW, Backoff(first_s=2, longest_s=60), None)


def task(age_s: float = 0.0) -> Task:
    return Task(lambda: None, lambda: None, lambda _: None, lambda: None, NOW - age_s)


def lane(*waiting: Task, sending: Task | None = None, breaker: Breaker | None = None) -> Lane:
    return Lane("events", breaker or Breaker(), waiting=deque(waiting), current=sending)


@pytest.mark.parametrize(
    ("there", "now", "why"),
    [
        (lane(), NOW, None),
        (lane(task(), sending=task(SLOW_S)), NOW, None),
        (lane(task(), task()), NOW, "too many deliveries are waiting"),
        (lane(sending=task(SLOW_S + 0.1)), NOW, "what it was given before has no answer yet"),
        (lane(task(SLOW_S + 0.1)), NOW, "what it was given before has no answer yet"),
        (lane(breaker=FAILED), NOW + 1.9, "paused after 1 failures"),
        (lane(breaker=FAILED), NOW + 2, None),
        (lane(sending=task(), breaker=FAILED), NOW + 2, "one try at a time after 1 failures"),
    ],
)
def test_a_target_takes_nothing_that_it_would_keep_waiting(
    there: Lane, now: float, why: str | None
) -> None:
    assert there.refusal(now, capacity=2) == why


def test_the_oldest_without_an_answer_comes_first() -> None:
    sending, first, second = task(), task(), task()
    assert list(lane(first, second, sending=sending).unanswered()) == [sending, first, second]
    assert list(lane().unanswered()) == []

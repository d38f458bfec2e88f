from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from pipeline.forecast.crew import Crew
from pipeline.forecast.expected_job import ExpectedJob
from tests.support.forecasts import cloud, job

RUNTIME = cloud()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.number = count()
        self.events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, after_s: float, action: Callable[[], None]) -> None:
        heappush(self.events, (self.now + after_s, next(self.number), action))

    def run(self) -> None:
        while self.events:
            self.now, _, action = heappop(self.events)
            action()


def crew(clock: Clock, most: int = 2, idle_s: float = 5) -> tuple[Crew, list[str]]:
    """Jobs take ten seconds, starts three."""
    ended: list[str] = []
    made = Crew(
        most,
        idle_s,
        3,
        lambda _: 10,
        lambda each: ended.append(each.id),
        lambda _: None,
        lambda: clock.now,
        clock.at,
    )
    return made, ended


def some(number: int) -> list[ExpectedJob]:
    return [job(f"job-{n}", RUNTIME) for n in range(number)]


def test_a_worker_is_started_for_each_job_up_to_the_most() -> None:
    clock = Clock()
    made, ended = crew(clock)
    for each in some(5):
        made.put(each)
    clock.run()

    assert ended == ["job-0", "job-1", "job-2", "job-3", "job-4"]
    tally = made.tally
    assert (tally.starts, tally.most_workers, tally.jobs) == (2, 2, 5)
    assert (tally.cold_s, tally.working_s) == (6, 50)
    assert tally.finished_s == 3 + 30
    assert tally.idle_s == 2 * 5
    assert tally.gpu_s == 6 + 50 + 10


def test_an_idle_worker_takes_the_next_job_and_is_paid_for_the_gap() -> None:
    clock = Clock()
    made, _ = crew(clock)
    first, second = some(2)
    made.put(first)
    clock.at(15, lambda: made.put(second))
    clock.run()

    assert made.tally.starts == 1
    assert made.tally.finished_s == 25
    assert made.tally.idle_s == 2 + 5


def test_a_worker_that_ended_is_started_anew() -> None:
    clock = Clock()
    made, _ = crew(clock)
    first, second = some(2)
    made.put(first)
    clock.at(18.5, lambda: made.put(second))
    clock.run()

    assert (made.tally.starts, made.tally.most_workers) == (2, 1)
    assert made.tally.idle_s == 2 * 5


def test_a_switch_is_a_job_whose_worker_had_another_lora() -> None:
    clock = Clock()
    made, _ = crew(clock, most=1)
    for n, lora in enumerate(("a", "a", None, "a", "b")):
        chosen: dict[str, Any] = {"model": "flux-lora", "input": {"lora_id": lora}}
        made.put(job(f"job-{n}", RUNTIME, **(chosen if lora else {})))
    clock.run()

    assert made.tally.lora_switches == 2

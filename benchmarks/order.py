"""Who waits how long: the order of admission in virtual time, over a bucket in memory.

Jobs of 10 s on 16 slots, a look every 5 s. Waits are in minutes, of the jobs that started in the
time that is shown. Nothing but admission takes time, and no process dies.
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from statistics import mean

from benchmarks.setting import goal, percentile, row, title
from config.settings import Settings
from tests.support.order_simulation import OrderSimulation, Started

SLOTS, SERVICE_S, STEP_S = 16, 10.0, 5.0
CAPACITY = SLOTS / SERVICE_S
"""Jobs a second."""
AGING_S = Settings().aging_seconds
WIDTHS = (26, 8, 9, 9, 9, 9)


def ids() -> Iterator[str]:
    numbers = random.Random(1)
    return (f"{numbers.getrandbits(64):016x}" for _ in count())


def simulation() -> OrderSimulation:
    return OrderSimulation({"Flux": SLOTS}, aging_s=AGING_S, draw=random.Random(2).random)


def heads(text: str) -> None:
    title(text)
    row("jobs", "started", "mean", "median", "p99", "longest", widths=WIDTHS)


def show(name: str, started: Sequence[Started]) -> None:
    minutes = [each.waited_s / 60 for each in started] or [0.0]
    figures = (mean(minutes), percentile(minutes, 0.5), percentile(minutes, 0.99), max(minutes))
    row(name, len(started), *(f"{each:.1f}" for each in figures), widths=WIDTHS)


def by(
    simulation: OrderSimulation, key: Callable[[Started], object]
) -> list[tuple[object, list[Started]]]:
    groups: dict[object, list[Started]] = {}
    for each in simulation.started.values():
        groups.setdefault(key(each), []).append(each)
    return sorted(groups.items(), key=lambda group: str(group[0]), reverse=True)


def stream_of_nines(hours: float) -> None:
    """Nines come a tenth faster than they can be served; one job of each lower priority comes every
    two minutes."""
    heads(f"A stream of nines above what {SLOTS} slots can serve, for {hours:g} h")
    queue, fresh, owed = simulation(), ids(), 0.0
    while queue.now_s < hours * 3600:
        owed += 1.1 * CAPACITY * STEP_S
        while owed >= 1:
            queue.submit(next(fresh), priority=9)
            owed -= 1
        if queue.now_s % 120 == 0:
            for priority in range(9):
                queue.submit(next(fresh), priority=priority)
        queue.tick(STEP_S)
    for served, started in by(queue, lambda each: each.job.priority):
        show(f"priority {served}", started)
    fives = [each.waited_s for each in queue.started.values() if each.job.priority == 5]
    oldest_backlog = queue.waiting / CAPACITY
    met = bool(fives) and max(fives) <= 4 * AGING_S + oldest_backlog + 60
    goal("a job of priority 5 starts after 4 times ageing and what came before it", met=met)


def backlog(jobs: int) -> None:
    heads(f"{jobs:,} jobs of 20 tenants that came within a minute, priorities 1, 5 and 9")
    queue, fresh = simulation(), ids()
    for n in range(jobs):
        priority = (1, 5, 5, 5, 9)[n // 20 % 5]
        queue.submit(next(fresh), tenant=f"tenant-{n % 20:02}", priority=priority)
        queue.now_s += 60 / jobs
    lists, known = 0, 0
    while queue.waiting:
        tick = queue.tick(STEP_S)
        lists, known = max(lists, tick.lists), max(known, tick.known)
    for served, started in by(queue, lambda each: each.job.priority):
        show(f"priority {served}", started)
    everything = [*queue.started.values()]
    show("first sixteenth of ids", [each for each in everything if each.job.id < "1"])
    show("last sixteenth of ids", [each for each in everything if each.job.id >= "f"])
    row("most LISTs a tick", lists, *[""] * 4, widths=WIDTHS)
    row("most jobs in memory", known, *[""] * 4, widths=WIDTHS)
    half = sorted(everything, key=lambda each: each.at_s)[: jobs // 2]
    shares = Counter(each.job.tenant for each in half).values()
    of_one_second = jobs / 60 / 20  # these are told apart by their keys alone
    equal = max(shares) - min(shares) <= 2 + of_one_second
    goal("half-way, 20 tenants have had equal shares", met=equal)


def unequal_tenants(jobs: int) -> None:
    heads(f"One tenant has {jobs:,} jobs waiting; another sends two every 30 s, for 1 h")
    queue, fresh = simulation(), ids()
    for _ in range(jobs):
        queue.submit(next(fresh), tenant="many")
    while queue.now_s < 3600:
        if queue.now_s % 30 == 0:
            for priority in (5, 9):
                queue.submit(next(fresh), tenant="few", priority=priority)
        queue.tick(STEP_S)
    for told, started in by(queue, lambda each: f"{each.job.tenant}, {each.job.priority}"):
        show(str(told), started)
    soon_s = STEP_S * (1 + jobs / 1000) + SERVICE_S
    for priority, most_s in ((9, soon_s), (5, 4 * AGING_S + soon_s)):
        waits = [
            each.waited_s
            for each in queue.started.values()
            if each.job.tenant == "few" and each.job.priority == priority
        ]
        goal(
            f"its jobs of priority {priority} wait {most_s / 60:.1f} min at most",
            met=max(waits) <= most_s,
        )


def standing(jobs: int, hours: float) -> None:
    heads(f"{jobs} jobs always wait, one comes for each that starts, for {hours:g} h")
    queue, fresh = simulation(), ids()
    for _ in range(jobs):
        queue.submit(next(fresh))
    while queue.now_s < hours * 3600:
        for _ in queue.tick(STEP_S).started:
            queue.submit(next(fresh))
    show("all", [*queue.started.values()])
    longest = max(each.waited_s for each in queue.started.values())
    goal("the longest waits no more than its turn", met=longest <= jobs / CAPACITY + 2 * SERVICE_S)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the jobs")
    options = parser.parse_args(arguments)
    standing(60, 0.5 if options.quick else 3)
    stream_of_nines(1.5 if options.quick else 3)
    backlog(1_000 if options.quick else 10_000)
    unequal_tenants(1_000 if options.quick else 10_000)


if __name__ == "__main__":
    main()

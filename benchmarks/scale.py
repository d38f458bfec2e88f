"""What a tick costs with 10, 10,000 and 100,000 jobs waiting, and with 100,000 finished besides.

Each measurement is a fresh process with two ticks: the first takes as many jobs as there are
places, the second finds the route full. Bodies are read of claimed jobs alone. Memory is the
process's greatest, and `bare` is what it has before the first tick.
"""

import argparse
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.inbox_fill import fill
from benchmarks.setting import Ground, goal, ground, machine, row, title
from config.logs import configure_logs
from config.settings import Settings
from events.sender import Sender
from events.sink import MemorySink
from pipeline.contract.keys import INBOX, JOBS, LEASES, inbox_key
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.tick import tick
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from tests.support.instant_comfyui import HoldingEngine
from tests.support.manifests import body
from tests.support.pipeline_fixture import CountingStore

MEMORY_GOAL_MB = 300
TENANTS = 20


@dataclass(frozen=True)
class Tick:
    seconds: float
    claimed: int
    lists: int
    bodies: int


@dataclass(frozen=True)
class Figures:
    ticks: tuple[Tick, ...]
    bare_mb: float
    peak_mb: float


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def two_ticks(settings: Settings) -> Figures:
    configure_logs(settings)
    counting = CountingStore(open_store(settings).raw)
    runtime = load_runtime(settings, "bench")
    sender, pool = Sender(MemorySink()), ThreadPoolExecutor(settings.dispatch_threads)
    dispatcher = Dispatcher(SafeStore(counting), HoldingEngine(), sender, runtime, pool, "bench")
    bare, ticks = peak_mb(), []
    for _ in range(2):
        counting.calls.clear()
        counting.gets.clear()
        began = time.perf_counter()
        report = tick(dispatcher)
        seconds = time.perf_counter() - began
        bodies = sum(key.startswith(INBOX) for key in counting.gets)
        ticks.append(Tick(seconds, report.spawned, counting.calls["LIST"], bodies))
    pool.shutdown()
    sender.close(5)
    return Figures(tuple(ticks), bare, peak_mb())


def in_fresh_process(settings: Settings) -> Figures:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(two_ticks, settings).result()


def free_slots(settings: Settings) -> None:
    """Forget what the last measurement took."""
    store = open_store(settings)
    for prefix in (LEASES, JOBS):
        for entry in store.list(prefix, limit=100).entries:
            if "finished" not in entry.key:
                store.delete(entry.key)


def submit(settings: Settings, first: int, until: int) -> None:
    """Jobs of these numbers, the tenants' in turn."""
    for each in range(TENANTS):
        tenant = f"tenant-{each:02}"
        numbers = (n for n in range(first, until) if n % TENANTS == each)
        keys = [
            inbox_key(f"job-{n:06}", priority=5, tenant=tenant, model="flux-dev") for n in numbers
        ]
        fill(settings, keys, body(tenant=tenant))


def measure(place: Ground, *, steps: tuple[int, ...], finished: int) -> None:
    title(f"Ticks over {TENANTS} tenants' waiting jobs ({machine()})")
    widths = (9, 9, 11, 6, 6, 8, 12, 6, 9, 9)
    heads = ("first s", "LISTs", "bodies", "claims", "full tick s", "LISTs", "bare MB", "peak MB")
    row("waiting", "finished", *heads, widths=widths)
    settings = place.bucket("scale")
    all_figures: list[Figures] = []
    there = 0

    def measured(done: int) -> None:
        figures = in_fresh_process(settings)
        first, full = figures.ticks
        told = (f"{first.seconds:.3f}", first.lists, first.bodies, first.claimed)
        then = (f"{full.seconds:.3f}", full.lists)
        memory = (f"{figures.bare_mb:.0f}", f"{figures.peak_mb:.0f}")
        row(f"{there:,}", f"{done:,}", *told, *then, *memory, widths=widths)
        all_figures.append(figures)
        free_slots(settings)

    for step in steps:
        submit(settings, there, step)
        there = step
        measured(0)
    fill(settings, [f"{JOBS}finished-{n:06}/result.json" for n in range(finished)], b"{}" * 500)
    measured(finished)
    read_no_more = all(tick.bodies <= tick.claimed for each in all_figures for tick in each.ticks)
    goal("no tick reads more bodies than it claims", met=read_no_more)
    peak = max(figures.peak_mb for figures in all_figures)
    goal(f"a dispatcher's memory under {MEMORY_GOAL_MB} MB", met=peak < MEMORY_GOAL_MB)
    before, after = all_figures[-2:]
    same = [tick.lists for tick in before.ticks] == [tick.lists for tick in after.ticks]
    goal("as many LIST calls with finished jobs as without", met=same)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the objects")
    options = parser.parse_args(arguments)
    with ground() as place:
        if options.quick:
            measure(place, steps=(10, 1_000, 10_000), finished=10_000)
        else:
            measure(place, steps=(10, 10_000, 100_000), finished=100_000)


if __name__ == "__main__":
    main()

"""Seconds from a manifest's PUT to the spawn of its job, with a dispatcher that polls as it does by
default and has work in hand."""

import argparse
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

from benchmarks.setting import Ground, goal, ground, machine, percentile, title
from config.logs import configure_logs
from events.sender import Sender
from events.sink import MemorySink
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import load_runtime
from pipeline.store.open import open_store
from tests.support.instant_comfyui import HoldingEngine
from tests.support.manifests import body

GOAL_S = 1.5


class NotingEngine(HoldingEngine):
    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, float] = {}

    def submit(self, route: str, payload: SpawnPayload) -> None:
        self.at[payload.id] = time.perf_counter()
        super().submit(route, payload)


def measure(place: Ground, *, jobs: int) -> None:
    title(f"From PUT to spawn while active ({machine()})")
    settings = place.bucket("latency", slots=1000)
    configure_logs(settings)
    store, runtime, engine = open_store(settings), load_runtime(settings, "bench"), NotingEngine()
    sender, pool, wakeup = Sender(MemorySink()), ThreadPoolExecutor(8), Wakeup()
    dispatcher = Dispatcher(store, engine, sender, runtime, pool, "bench")
    thread = Thread(target=dispatch, args=(dispatcher, wakeup))
    thread.start()
    store.create("inbox/first.json", body())
    while "first" not in engine.at:
        time.sleep(0.1)
    put: dict[str, float] = {}
    for n in range(jobs):
        time.sleep(random.uniform(0.05, 0.6))
        put[f"job-{n}"] = time.perf_counter()
        store.create(f"inbox/job-{n}.json", body())
    while len(engine.at) <= jobs:
        time.sleep(0.1)
    wakeup.stop()
    thread.join()
    sender.close(5)
    pool.shutdown()
    waits = [engine.at[id] - began for id, began in put.items()]
    print(
        f"{jobs} jobs, a tick each {settings.poll_active_seconds:g} s:"
        f" median {statistics.median(waits):.2f} s, 95 % under {percentile(waits, 0.95):.2f} s,"
        f" longest {max(waits):.2f} s"
    )
    goal(f"under {GOAL_S} s", met=max(waits) < GOAL_S)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer jobs")
    options = parser.parse_args(arguments)
    with ground() as place:
        measure(place, jobs=15 if options.quick else 60)


if __name__ == "__main__":
    main()

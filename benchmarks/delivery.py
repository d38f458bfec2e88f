"""Jobs a second with PostHog away, beside those with it answering; and what its absence costs.

Settings are the default ones. A dispatcher looks in its own time, and workers that do nothing but
the store's calls take what it spawns; dispatcher and workers have a sender each, as processes of
their own have. PostHog is an HTTP server in a process of its own, that answers, hangs, answers 500,
or is not there. Each case runs at the same time as one that is well, so that a busy machine is busy
for both.

Then PostHog hangs, no job runs, and many that are over owe their events: the calls that a
dispatcher makes for them are counted.
"""

import argparse
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from uuid import uuid4

from benchmarks.setting import Ground, goal, ground, machine, row, title
from config.logs import configure_logs
from config.settings import Settings
from events.sender import Sender
from pipeline.contract.keys import lease_key, manifest_key, result_key
from pipeline.contract.lease import Phase
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.dispatcher.tick import TickReport
from pipeline.notify.delivery import ResultDelivery
from pipeline.notify.sinks import make_sink
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import load_runtime
from pipeline.store.base import Always, Store
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from pipeline.worker.context import WorkerContext
from pipeline.worker.execution import Ending, execute
from tests.events.builders import completed
from tests.support.instant_comfyui import HoldingEngine, worker_context
from tests.support.jobs import a_lease, a_result
from tests.support.manifests import body
from tests.support.pipeline_fixture import CountingStore
from tests.support.posthog_receiver import Answer, PostHogReceiver

GOAL = 0.95
CALLS_GOAL = 2.0
WORKERS = 8
HANGING = Answer(hangs=True)
AWAY: Mapping[str, Answer | None] = {
    "hangs": HANGING,
    "answers 500": Answer(500),
    "refuses": None,
}
"""None: nobody listens."""
NOBODY = "http://127.0.0.1:9"


class WorkerPool:
    """Workers without processes, that have every picture ready."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._pool = ThreadPoolExecutor(WORKERS)
        self.committed = 0
        self.last_at = 0.0
        self.changed = threading.Condition()

    def submit(self, route: str, payload: SpawnPayload) -> None:  # noqa: ARG002
        self._pool.submit(self._execute, payload)

    def cancel(self, call_id: str) -> None:
        pass

    def _execute(self, payload: SpawnPayload) -> None:
        if execute(payload, self._context, call_id=None) is Ending.COMMITTED:
            with self.changed:
                self.committed += 1
                self.last_at = time.perf_counter()
                self.changed.notify_all()

    def close(self) -> None:
        self._pool.shutdown()


def _serve(answer: Answer, pipe: Connection) -> None:
    with PostHogReceiver() as receiver:
        receiver.answer = answer
        pipe.send(receiver.url)
        pipe.recv()


@contextmanager
def posthog(answer: Answer | None) -> Iterator[str]:
    """The URL of a PostHog in a process of its own."""
    if answer is None:
        yield NOBODY
        return
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(answer, theirs), daemon=True)
    process.start()
    yield ours.recv()
    process.terminate()
    process.join()


@contextmanager
def dispatching(
    settings: Settings,
    raw: Store,
    sender: Sender,
    engine: WorkerPool | HoldingEngine,
    **options: Callable[[TickReport], None],
) -> Iterator[None]:
    """A dispatcher's loop in a thread."""
    wakeup, runtime = Wakeup(), load_runtime(settings, "bench")
    with ThreadPoolExecutor(settings.dispatch_threads) as pool:
        dispatcher = Dispatcher(SafeStore(raw), engine, sender, runtime, pool, "bench")
        thread = threading.Thread(target=dispatch, args=(dispatcher, wakeup), kwargs=options)
        thread.start()
        try:
            yield
        finally:
            wakeup.stop()
            thread.join()


def each(call: Callable[[str], object], ids: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, ids))


def rate(settings: Settings, jobs: int) -> float:
    """Jobs a second from the first look to the last commit."""
    configure_logs(settings)
    store = open_store(settings)
    manifest = body()
    each(lambda id: store.raw.put(f"inbox/{id}.json", manifest, Always()), fresh_ids(jobs))
    with ExitStack() as parts:
        ours, theirs = Sender(make_sink(settings)), Sender(make_sink(settings))
        for sender in (ours, theirs):
            parts.callback(sender.close, 0.1)
        delivery = ResultDelivery(store, theirs, settings)
        workers = WorkerPool(worker_context(store, delivery, load_runtime(settings, "bench")))
        parts.callback(workers.close)
        began = time.perf_counter()
        with dispatching(settings, store.raw, ours, workers), workers.changed:
            if not workers.changed.wait_for(lambda: workers.committed == jobs, timeout=600):
                raise RuntimeError(f"only {workers.committed} of {jobs} jobs ended")
        return jobs / (workers.last_at - began)


def fresh_ids(count: int) -> list[str]:
    return [uuid4().hex for _ in range(count)]


def rates(place: Ground, *, jobs: int, rounds: int) -> None:
    title(f"Jobs a second, default settings, PostHog away and beside it well ({machine()})")
    print(f"{jobs} jobs each, in two processes at the same time, {rounds} rounds, medians")
    widths = (12, 10, 10, 7)
    row("PostHog", "jobs a s", "when well", "ratio", widths=widths)
    met: dict[str, bool] = {}
    for case, answer in AWAY.items():
        found = [pair(place, f"{len(met)}-{n}", answer, jobs) for n in range(rounds)]
        ratio = statistics.median(own / well for own, well in found)
        own, well = (statistics.median(column) for column in zip(*found, strict=True))
        row(case, f"{own:.2f}", f"{well:.2f}", f"{ratio:.3f}", widths=widths)
        met[case] = ratio >= GOAL
    goal(f"at least {GOAL} of the jobs with PostHog well", met=all(met.values()))


def pair(place: Ground, name: str, answer: Answer | None, jobs: int) -> tuple[float, float]:
    """Jobs a second with this PostHog, and with one that is well."""
    spawn = multiprocessing.get_context("spawn")
    with posthog(answer) as away, posthog(Answer()) as well, ProcessPoolExecutor(2, spawn) as pool:
        both = [
            pool.submit(rate, of_posthog(place, f"{kind}-{name}", url), jobs)
            for kind, url in (("away", away), ("well", well))
        ]
        return both[0].result(), both[1].result()


def of_posthog(place: Ground, name: str, url: str) -> Settings:
    settings = place.bucket(name)
    fields = {**dict(settings), "posthog_api_key": "phc_benchmark", "posthog_host": url}
    return Settings.model_validate(fields)


def owe(store: SafeStore, id: str) -> None:
    """A job that is over, with nothing left but its events."""
    entry, now = f"inbox/{id}.json", store.now()
    result = a_result(id=id, finished_at=now, events=(completed(id),))
    lease = a_lease(id=id, entry=entry, phase=Phase.RETRY, committed=True, deliveries=1)
    due = lease.model_copy(update={"not_before": now - timedelta(seconds=1)})
    for key, content in (
        (manifest_key(id), body()),
        (result_key(id), result.body()),
        (lease_key(id), due.body()),
    ):
        store.raw.put(key, content, Always())


def cost(place: Ground, *, owing: int, seconds: float) -> None:
    title(f"What {owing:,} jobs that owe their events cost while PostHog hangs")
    with posthog(HANGING) as url, ExitStack() as parts:
        settings = of_posthog(place, "owing", url)
        configure_logs(settings)
        store = open_store(settings)
        store.now()
        each(lambda id: owe(store, id), fresh_ids(owing))
        counting, reports = CountingStore(store.raw), list[TickReport]()
        looked = threading.Event()

        def on_tick(report: TickReport) -> None:
            reports.append(report)
            looked.set()

        sender = Sender(make_sink(settings))
        parts.callback(sender.close, 0.1)
        with dispatching(settings, counting, sender, HoldingEngine(), on_tick=on_tick):
            looked.wait()
            first = dict(counting.calls)
            counting.calls.clear()
            time.sleep(seconds)
            calls = dict(counting.calls)
    a_second = sum(calls.values()) / seconds
    taken = sum(report.taken_over for report in reports)
    print(f"its first look, which reads each lease once: {first}")
    print(f"then in {seconds:g} s: {len(reports)} looks, {taken} taken up again, {calls}")
    goal(f"under {CALLS_GOAL:g} calls a second: {a_second:.2f}", met=a_second < CALLS_GOAL)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer jobs, one round")
    options = parser.parse_args(arguments)
    with ground() as place:
        rates(place, jobs=200 if options.quick else 500, rounds=1 if options.quick else 3)
        cost(place, owing=1500, seconds=30 if options.quick else 120)


if __name__ == "__main__":
    main()

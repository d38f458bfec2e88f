"""Jobs a second from claim to commit with a worker that does nothing, and what the calls to the
store have to do with it.

The product is a dispatcher's ticks and real executions whose pictures are ready-made: with its own
calls, and with the same calls made by boto3. Bare are only the calls of such a job, in its order,
with bodies of the same size: made as the product makes them, and by boto3. All drain an inbox of
the same jobs and take turns, so that a busy machine is busy for all.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from benchmarks.boto_store import BotoStore, boto_condition
from benchmarks.setting import Ground, goal, ground, machine, row, title
from config.logs import configure_logs
from config.settings import Settings
from events.sender import Sender
from events.sink import MemorySink
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.engine import Engine
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.dispatcher.tick import TickReport, tick
from pipeline.notify.delivery import ResultDelivery
from pipeline.runtime import load_runtime
from pipeline.store.base import ALWAYS, Always, Condition, IfMatch, Page, Store, Stored, Written
from pipeline.store.conditional import SafeStore
from pipeline.store.s3 import S3Store
from tests.support.instant_comfyui import HoldingEngine, InstantEngine, worker_context
from tests.support.manifests import body

GOAL = 2.5
SAMPLE = "sample-job"
JOBS = 200
"""In the inbox of each round, also of the few: what a LIST costs depends on it."""


@dataclass(frozen=True)
class Call:
    verb: str
    key: str
    body: bytes = b""
    condition: Condition = ALWAYS
    content_type: str = ""


class RecordingStore:
    """Keeps what one job asks of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[Call] = []

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        self.calls.append(Call("GET", key))
        return self._store.get(key, offset=offset, limit=limit)

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        self.calls.append(Call("PUT", key, body, condition, content_type))
        return self._store.put(key, body, condition, content_type)

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        self.calls.append(Call("DELETE", key))
        self._store.delete(key, condition)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        return self._store.list(prefix, start_after=start_after, limit=limit)


@contextmanager
def dispatcher(
    settings: Settings, raw: Store, threads: int, *, spawns_only: bool = False
) -> Iterator[Dispatcher]:
    """Executes its jobs in its own threads; with `spawns_only`, not at all."""
    runtime, store = load_runtime(settings, "bench"), SafeStore(raw)
    sender, pool = Sender(MemorySink()), ThreadPoolExecutor(threads)
    context = worker_context(store, ResultDelivery(store, sender, settings), runtime)
    engine: Engine = HoldingEngine() if spawns_only else InstantEngine(context)
    yield Dispatcher(store, engine, sender, runtime, pool, "bench")
    pool.shutdown()
    sender.close(5)


def drain(ticking: Dispatcher) -> None:
    """Tick until nothing waits and no lease is left."""
    while True:
        report = tick(ticking)
        if not report.active and not report.taken_over:
            return


def submit(store: Store, ids: Sequence[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda id: store.put(f"inbox/{id}.json", body(), ALWAYS), ids))


def record_one_job(settings: Settings) -> list[Call]:
    store = RecordingStore(S3Store(settings))
    submit(store, [SAMPLE])
    store.calls.clear()
    with dispatcher(settings, store, 1) as ticking:
        drain(ticking)
    return store.calls


def run_bare(store: Store, calls: Sequence[Call], id: str) -> None:
    etags: dict[str, str] = {}
    for call in calls:
        key = call.key.replace(SAMPLE, id)
        if call.verb == "GET":
            store.get(key)
        elif call.verb == "DELETE":
            store.delete(key)
        else:
            matches = isinstance(call.condition, IfMatch)
            condition = IfMatch(etags[key]) if matches else call.condition
            etags[key] = store.put(key, call.body, condition, call.content_type).etag


def run_boto3(store: BotoStore, calls: Sequence[Call], id: str) -> None:
    """Without the port, as boto3's documentation writes them."""
    client, bucket = store.client, store.bucket
    etags: dict[str, str] = {}
    for call in calls:
        key = call.key.replace(SAMPLE, id)
        if call.verb == "GET":
            client.get_object(Bucket=bucket, Key=key)["Body"].read()
        elif call.verb == "DELETE":
            client.delete_object(Bucket=bucket, Key=key)
        else:
            matches = isinstance(call.condition, IfMatch)
            condition = IfMatch(etags[key]) if matches else call.condition
            etags[key] = client.put_object(
                Bucket=bucket,
                Key=key,
                Body=call.body,
                ContentType=call.content_type,
                **boto_condition(condition),
            )["ETag"]


@dataclass(frozen=True)
class Rate:
    jobs_s: float
    cpu_ms: float
    """Of this process, a job."""


def timed(work: Callable[[], object]) -> Rate:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Rate(JOBS / seconds, cpu / JOBS * 1000)


@dataclass(frozen=True)
class Rounds:
    settings: Settings
    calls: Sequence[Call]

    def product(self, store: Store, threads: int, *, spawns_only: bool = False) -> Rate:
        submit(store, new_ids())
        with dispatcher(self.settings, store, threads, spawns_only=spawns_only) as ticking:
            return timed(lambda: tick(ticking) if spawns_only else drain(ticking))

    def bare(self, store: Store, threads: int, run: Callable[..., None] = run_bare) -> Rate:
        ids = new_ids()
        submit(store, ids)
        with ThreadPoolExecutor(threads) as pool:
            return timed(lambda: list(pool.map(lambda id: run(store, self.calls, id), ids)))

    def all(self, threads: int) -> Mapping[str, Rate]:
        """One round of each side, with connections of its own."""
        pool = 2 * threads
        lean, boto = S3Store(self.settings, pool=pool), BotoStore(self.settings, pool=pool)
        return {
            "product": self.product(lean, threads),
            "product, boto3": self.product(boto, threads),
            "bare": self.bare(lean, threads),
            "bare, boto3": self.bare(boto, threads, run_boto3),
        }


def new_ids() -> list[str]:
    return [uuid4().hex for _ in range(JOBS)]


def measure(place: Ground, *, rounds: int) -> None:
    title(f"Claim to commit, jobs a second ({machine()})")
    settings = place.bucket("throughput", slots=100_000)
    configure_logs(settings)
    one_round = Rounds(settings, record_one_job(settings))
    verbs = [call.verb for call in one_round.calls]
    print(
        f"each job: {verbs.count('PUT')} PUT, {verbs.count('GET')} GET, {verbs.count('DELETE')}"
        f" DELETE; {JOBS} jobs a round, median of {rounds}"
    )
    widths = (8, 16, 8, 9)
    row("threads", "", "jobs/s", "CPU ms", widths=widths)
    for threads in (1, 8):
        found = [one_round.all(threads) for _ in range(rounds)]
        for side in found[0]:
            rate = median(each[side] for each in found)
            row(threads, side, f"{rate.jobs_s:.1f}", f"{rate.cpu_ms:.2f}", widths=widths)
        gains = [each["product"].jobs_s / each["product, boto3"].jobs_s for each in found]
        gain = statistics.median(gains)
        print(
            f"the product makes {gain:.2f} times the jobs it makes with boto3 ({threads} threads)"
        )
    goal(f"at least {GOAL} times with 8 threads", met=gain >= GOAL)
    alone = [one_round.product(S3Store(settings), 8, spawns_only=True) for _ in range(rounds)]
    rate = median(alone)
    print(
        f"a dispatcher alone, whose workers run elsewhere, claims and spawns {rate.jobs_s:.1f}"
        f" jobs/s with 8 threads, {rate.cpu_ms:.2f} ms CPU each"
    )


def median(rates: Iterator[Rate] | Sequence[Rate]) -> Rate:
    rates = list(rates)
    return Rate(
        statistics.median(each.jobs_s for each in rates),
        statistics.median(each.cpu_ms for each in rates),
    )


def measure_defaults(place: Ground) -> None:
    """The loop of `ryla dispatch` with no setting changed."""
    title("The same with default settings")
    named = {**place.server.settings("throughput-defaults"), "state_dir": place.folder}
    place.server.create_bucket("throughput-defaults")
    settings = Settings.model_validate({**named, "log_level": "error"})
    store, reports, wakeup = S3Store(settings), list[TickReport](), Wakeup()
    submit(store, new_ids())

    def stop_when_done(report: TickReport) -> None:
        reports.append(report)
        if not report.active:
            wakeup.stop()

    with dispatcher(settings, store, settings.dispatch_threads) as ticking:
        rate = timed(lambda: dispatch(ticking, wakeup, on_tick=stop_when_done))
    busy = [report for report in reports if report.spawned]
    print(
        f"{rate.jobs_s:.1f} jobs/s in {len(busy)} ticks: at most"
        f" {max(report.spawned for report in busy)} a tick, which is max_in_flight of the route,"
        f" and {settings.poll_active_seconds:g} s between ticks (RYLA_POLL_ACTIVE_SECONDS)"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args(arguments)
    with ground() as place:
        measure(place, rounds=2 if options.quick else 5)
        measure_defaults(place)


if __name__ == "__main__":
    main()

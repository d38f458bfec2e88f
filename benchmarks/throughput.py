"""Jobs a second from claim to commit with a worker that does nothing, beside the same calls to the
same store made bare.

The pipeline's side is a dispatcher's ticks and real executions whose pictures are ready-made. The
bare side repeats, in its order, each call that one such job makes, with bodies of the same size.
Rounds of both take turns, so that a busy machine is busy for both.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks.setting import Ground, goal, ground, machine, row, title
from config.logs import configure_logs
from config.settings import Settings
from events.sender import Sender
from events.sink import MemorySink
from pipeline.dispatcher.tick import Dispatcher, tick
from pipeline.notify.delivery import ResultDelivery
from pipeline.runtime import load_runtime
from pipeline.store.base import Always, Condition, IfAbsent, IfMatch, Page, Stored, Written
from pipeline.store.conditional import SafeStore
from pipeline.store.s3 import S3Store, connect
from tests.support.instant_comfyui import InstantEngine, worker_context
from tests.support.manifests import body

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

GOAL = 0.8
SAMPLE = "sample-job"


@dataclass(frozen=True)
class Call:
    verb: str
    key: str
    body: bytes = b""
    condition: Condition = field(default_factory=Always)
    content_type: str = ""


class Recording(S3Store):
    """Keeps what one job asks of the store."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        super().__init__(client, bucket)
        self.calls: list[Call] = []

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        self.calls.append(Call("GET", key))
        return super().get(key, offset=offset, limit=limit)

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        self.calls.append(Call("PUT", key, body, condition, content_type))
        return super().put(key, body, condition, content_type)

    def delete(self, key: str) -> None:
        self.calls.append(Call("DELETE", key))
        super().delete(key)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        return super().list(prefix, start_after=start_after, limit=limit)


class Pipeline:
    """A dispatcher whose jobs are executed in its own threads."""

    def __init__(self, settings: Settings, raw: S3Store, threads: int) -> None:
        runtime = load_runtime(settings, "bench")
        self.raw = raw
        self._store = SafeStore(raw)
        self._sender = Sender(MemorySink())
        self._pool = ThreadPoolExecutor(threads)
        context = worker_context(
            self._store, ResultDelivery(self._store, self._sender, settings), runtime
        )
        self._dispatcher = Dispatcher(
            self._store, InstantEngine(context), self._sender, runtime, self._pool, "bench"
        )
        self.ticks = 0

    def run(self) -> float:
        """Seconds until nothing waits and no lease is left."""
        began = time.perf_counter()
        while True:
            report = tick(self._dispatcher)
            self.ticks += 1
            if not report.active and not report.taken_over:
                return time.perf_counter() - began

    def close(self) -> None:
        self._pool.shutdown()
        self._sender.close(5)


def submit(store: S3Store, ids: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        put: Callable[[str], object] = lambda id: store.put(  # noqa: E731
            f"inbox/{id}.json", body(), Always()
        )
        list(pool.map(put, ids))


def record_one_job(settings: Settings) -> list[Call]:
    store = Recording(connect(settings), settings.bucket)
    pipeline = Pipeline(settings, store, 1)
    submit(store, [SAMPLE])
    store.calls.clear()
    pipeline.run()
    pipeline.close()
    return store.calls


def run_bare(client: "S3Client", bucket: str, calls: list[Call], id: str) -> None:
    etags: dict[str, str] = {}
    for call in calls:
        key = call.key.replace(SAMPLE, id)
        if call.verb == "GET":
            client.get_object(Bucket=bucket, Key=key)["Body"].read()
        elif call.verb == "DELETE":
            client.delete_object(Bucket=bucket, Key=key)
        else:
            condition = {}
            if isinstance(call.condition, IfAbsent):
                condition = {"IfNoneMatch": "*"}
            elif isinstance(call.condition, IfMatch):
                condition = {"IfMatch": etags[key]}
            reply = client.put_object(
                Bucket=bucket,
                Key=key,
                Body=call.body,
                ContentType=call.content_type,
                **condition,  # type: ignore[arg-type]
            )
            etags[key] = reply["ETag"]


def bare_round(settings: Settings, calls: list[Call], ids: list[str], threads: int) -> float:
    client = connect(settings, pool=max(10, threads))
    submit(S3Store(client, settings.bucket), ids)
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(lambda id: run_bare(client, settings.bucket, calls, id), ids))
        return time.perf_counter() - began


def pipeline_round(settings: Settings, ids: list[str], threads: int) -> float:
    store = S3Store(connect(settings, pool=max(10, 2 * threads)), settings.bucket)
    submit(store, ids)
    pipeline = Pipeline(settings, store, threads)
    seconds = pipeline.run()
    pipeline.close()
    return seconds


def measure(place: Ground, *, jobs: int, rounds: int) -> None:
    title(f"Claim to commit, jobs a second ({machine()})")
    settings = place.bucket("throughput", slots=100_000)
    configure_logs(settings)
    calls = record_one_job(settings)
    verbs = [call.verb for call in calls]
    print(
        f"each job: {verbs.count('PUT')} PUT, {verbs.count('GET')} GET, {verbs.count('DELETE')}"
        f" DELETE; {jobs} jobs a round, median of {rounds}"
    )
    widths = (8, 10, 10, 7)
    row("threads", "pipeline", "bare", "ratio", widths=widths)
    for threads in (1, 8):
        ratios, ours, bares = [], [], []
        for _ in range(rounds):
            ids = [uuid4().hex for _ in range(jobs)]
            bare = jobs / bare_round(settings, calls, ids, threads)
            ids = [uuid4().hex for _ in range(jobs)]
            mine = jobs / pipeline_round(settings, ids, threads)
            ratios.append(mine / bare)
            ours.append(mine)
            bares.append(bare)
        ratio = statistics.median(ratios)
        figures = (statistics.median(ours), statistics.median(bares), ratio)
        row(threads, *(f"{figure:.2f}" for figure in figures), widths=widths)
        goal(f"at least {GOAL} of the bare calls with {threads} threads", met=ratio >= GOAL)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer jobs")
    options = parser.parse_args(arguments)
    with ground() as place:
        measure(place, jobs=60 if options.quick else 300, rounds=3 if options.quick else 5)


if __name__ == "__main__":
    main()

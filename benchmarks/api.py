"""The HTTP API on an embedded SeaweedFS: how fast, what 200 waiting clients cost, and its memory.

Server, store and clients share this machine. Rounds of requests and of the same store calls made
bare take turns, so that a busy machine is busy for both.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from uuid import uuid4

from benchmarks.api_process import Answer, Line, Server, ask_all, get, post, serving
from benchmarks.inbox_fill import fill
from benchmarks.setting import Ground, goal, ground, machine, percentile, row, title
from config.logs import configure_logs
from config.settings import Settings
from events.sender import Sender
from events.sink import MemorySink
from pipeline.contract.keys import INBOX, lease_key, result_key
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.tick import tick
from pipeline.notify.delivery import ResultDelivery
from pipeline.runtime import load_runtime
from pipeline.store.base import IfAbsent
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from pipeline.store.s3 import S3Store
from tests.support.instant_comfyui import InstantEngine, worker_context

LINES = 8
WAITERS = 200
POST_GOAL_MS = 60.0
MOST_LISTS = 1.3
"""A second: one, and what a pause lets through."""
LIMITS: dict[str, float] = {"api_requests_per_minute": 1_000_000, "api_jobs_per_tenant": 1_000_000}
SMALL = {"prompt": "a cat on a wall", "width": 256, "height": 256, "steps": 2}
SUBMIT = post("/flux-schnell", SMALL, "wait=0")
WAIT = post("/flux-schnell", SMALL, "wait=110")
WIDTHS = (34, 9, 9, 9, 9, 7)


def ids(answers: Sequence[Answer]) -> list[str]:
    return [answer.json()["id"] for answer in answers]


def ms(answers: Sequence[Answer], share: float) -> float:
    return 1000 * percentile([answer.seconds for answer in answers], share)


class Worker:
    """A dispatcher whose jobs are executed in its own threads, with ready-made pictures."""

    def __init__(self, settings: Settings) -> None:
        store, runtime = open_store(settings), load_runtime(settings, "bench")
        self._sender, self._pool = Sender(MemorySink()), ThreadPoolExecutor(4)
        context = worker_context(store, ResultDelivery(store, self._sender, settings), runtime)
        engine = InstantEngine(context)
        self._dispatcher = Dispatcher(store, engine, self._sender, runtime, self._pool, "bench")
        self._over = Event()
        self._thread = Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            if not tick(self._dispatcher).active:
                self._over.wait(0.2)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._pool.shutdown()
        self._sender.close(5)


def finished_body(settings: Settings, port: int) -> bytes:
    """The result of a job that ran."""
    answers, _ = asyncio.run(ask_all(port, [SUBMIT], 1))
    (id,) = ids(answers)
    store = open_store(settings)
    with Worker(settings):
        while (stored := store.get(result_key(id))) is None:
            time.sleep(0.1)
    return stored.body


def bare(count: int, call: Callable[[int], object]) -> float:
    """Calls a second in as many threads as there are connections."""
    with ThreadPoolExecutor(LINES) as pool:
        began = time.perf_counter()
        list(pool.map(call, range(count)))
        return count / (time.perf_counter() - began)


def measure_rates(settings: Settings, server: Server, *, count: int, rounds: int) -> None:
    title(f"Requests a second over {LINES} connections ({machine()})")
    result = finished_body(settings, server.port)
    store = S3Store(settings, pool=LINES)
    done = [uuid4().hex for _ in range(count)]
    fill(settings, [result_key(id) for id in done], result)
    row("", "a second", "bare", "ratio", "p50 ms", "p95 ms", widths=WIDTHS)

    def put(_: int) -> None:
        store.put(f"bare/{uuid4().hex}.json", result[:400], IfAbsent())

    def get_both(n: int) -> None:
        store.get(result_key(waiting[n]))
        store.get(lease_key(waiting[n]))

    rate = partial(measure_rate, server, rounds)
    waiting = ids(rate("POST, wait=0: 1 PUT", [SUBMIT] * count, put))
    rate("GET, finished: 1 GET", gets_of(done), lambda n: store.get(result_key(done[n])))
    rate("GET, waiting: 2 GETs", gets_of(waiting[:count]), get_both)
    rate("GET, finished and remembered", gets_of(done[-200:]) * (count // 200), None)


def gets_of(ids: Sequence[str]) -> list[bytes]:
    return [get(f"/jobs/{id}") for id in ids]


def measure_rate(
    server: Server,
    rounds: int,
    name: str,
    requests: Sequence[bytes],
    call: Callable[[int], object] | None,
) -> list[Answer]:
    rates, bares, answers = [], [], []
    for _ in range(rounds):
        if call is not None:
            bares.append(bare(len(requests), call))
        found, seconds = asyncio.run(ask_all(server.port, requests, LINES))
        rates.append(len(found) / seconds)
        answers += found
    beside = ("", "")
    if bares:
        ratio = statistics.median(mine / other for mine, other in zip(rates, bares, strict=True))
        beside = (f"{statistics.median(bares):.0f}", f"{ratio:.2f}")
    times = (f"{ms(answers, 0.5):.1f}", f"{ms(answers, 0.95):.1f}")
    row(name, f"{statistics.median(rates):.0f}", *beside, *times, widths=WIDTHS)
    return answers


async def measure_waiters(server: Server, settings: Settings, *, quiet_s: float) -> None:
    title(f"{WAITERS} waiting clients ({machine()})")
    lines = [await Line.to(server.port) for _ in range(WAITERS)]
    waiting = [asyncio.create_task(line.ask(WAIT)) for line in lines]
    await asyncio.sleep(4)
    while server.calls()["PUT"]:
        await asyncio.sleep(4)  # the listing that limits are judged by is over, too
    await measure_quiet(server, quiet_s)
    await measure_beside(server)
    await measure_ends(server, settings, waiting)
    for line in lines:
        line.close()


async def measure_quiet(server: Server, quiet_s: float) -> None:
    began = time.perf_counter()
    await asyncio.sleep(quiet_s)
    calls, seconds = server.calls(), time.perf_counter() - began
    lists, gets = calls["LIST"] / seconds, calls["GET"] / seconds
    print(f"{seconds:.0f} s of waiting: {lists:.2f} LIST a second, {gets:.2f} GET a second")
    goal("one LIST a second in all, and no GET", met=lists < MOST_LISTS and not gets)


async def measure_beside(server: Server) -> None:
    row("meanwhile, one connection", "", "", "", "p50 ms", "p95 ms", widths=WIDTHS)
    posted, _ = await ask_all(server.port, [SUBMIT] * 200, 1)
    asked, _ = await ask_all(server.port, gets_of(ids(posted)), 1)
    for name, answers in (("POST, wait=0", posted), ("GET, waiting", asked)):
        figures = (f"{ms(answers, 0.5):.1f}", f"{ms(answers, 0.95):.1f}")
        row(name, "", "", "", *figures, widths=WIDTHS)
    slow = ms(posted, 0.95)
    goal(f"p95 of an accepted POST under {POST_GOAL_MS:g} ms", met=slow < POST_GOAL_MS)


async def measure_ends(
    server: Server, settings: Settings, waiting: Sequence["asyncio.Task[Answer]"]
) -> None:
    server.calls()
    began = time.perf_counter()
    with Worker(settings):
        answers = await asyncio.gather(*waiting)
    calls, seconds = server.calls(), time.perf_counter() - began
    done = sum(answer.status == 200 for answer in answers)
    lists, gets = calls["LIST"] / seconds, calls["GET"] / done
    print(
        f"{done} jobs finished in {seconds:.0f} s: {lists:.2f} LIST a second,"
        f" {gets:.2f} GET a finished job"
    )
    met = done == WAITERS and lists < MOST_LISTS and gets <= 1.1
    goal("one LIST a second in all, and one GET a finished job", met=met)


def measure_memory(settings: Settings, server: Server, *, jobs: int, step: int) -> None:
    title(f"The server's memory over {jobs:,} jobs")
    result = finished_body(settings, server.port)
    store = open_store(settings)
    row("jobs", "RSS MB", widths=(9, 9))
    sizes: list[float] = []
    for done in range(0, jobs + 1, step):
        server.calls()  # what was counted takes memory too
        sizes.append(server.memory_mb())
        row(f"{done:,}", f"{sizes[-1]:.1f}", widths=(9, 9))
        if done < jobs:
            _take_through(settings, server, store, step, result)
    growth = sizes[-1] - sizes[len(sizes) // 2]
    print(f"over the second half it grew by {growth:.1f} MB")
    goal("flat: less than 5 MB over the second half", met=growth < 5)


def _take_through(
    settings: Settings, server: Server, store: SafeStore, count: int, result: bytes
) -> None:
    """Posted, asked for, finished from outside, asked for again."""
    posted, _ = asyncio.run(ask_all(server.port, [SUBMIT] * count, LINES))
    asked = gets_of(ids(posted))
    asyncio.run(ask_all(server.port, asked, LINES))
    fill(settings, [result_key(id) for id in ids(posted)], result)
    with ThreadPoolExecutor(LINES) as pool:
        while page := store.list(INBOX).entries:
            list(pool.map(lambda entry: store.delete(entry.key), page))
    asyncio.run(ask_all(server.port, asked, LINES))


@contextmanager
def served(place: Ground, name: str) -> Iterator[tuple[Settings, Server]]:
    """A server over a bucket of its own."""
    settings = place.bucket(name, slots=100_000, **LIMITS)
    configure_logs(settings)
    with serving(settings) as server:
        yield settings, server


def measure(place: Ground, *, count: int, rounds: int, quiet_s: float, jobs: int) -> None:
    with served(place, "rates") as (settings, server):
        measure_rates(settings, server, count=count, rounds=rounds)
    with served(place, "waiters") as (settings, server):
        asyncio.run(measure_waiters(server, settings, quiet_s=quiet_s))
    with served(place, "memory") as (settings, server):
        measure_memory(settings, server, jobs=jobs, step=jobs // 10)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests and jobs")
    options = parser.parse_args(arguments)
    with ground() as place:
        if options.quick:
            measure(place, count=300, rounds=3, quiet_s=8, jobs=1_000)
        else:
            measure(place, count=1_000, rounds=5, quiet_s=20, jobs=10_000)


if __name__ == "__main__":
    main()

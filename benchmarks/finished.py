"""What it costs that many jobs have ended: of a report, of the newest results, of a budget's tick.

The bucket is computed: its objects are made when they are asked for. So the seconds are those of
our code and of making them, without reading XML. In the ticks each LIST of the day takes 50 ms
more, as one of S3 may. Memory is that of a process of its own, at its greatest. A tick's first look
is that of a process where nobody has listed the day; the next one, and that of a process that
starts later, lists it in parts.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks.setting import goal, machine, row, title
from config.logs import configure_logs
from config.settings import Settings
from pipeline.contract.keys import JOBS
from pipeline.contract.spend_entry import BODY, EVER, SINCE, SPEND, since_key, spend_day
from pipeline.jobs.status import finished_ids
from pipeline.report.results_reader import ResultsReader
from pipeline.report.totals import sum_results
from pipeline.store.base import ALWAYS, Entry, Page, Stored
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.manifests import body
from tests.support.pipeline_fixture import CountingStore, PipelineFixture
from tests.support.report_results import result

BY_SPEND = "report of a day, by spend/"
MEMORY_GOAL_MB = 300
RUN_S = 50
"""How long a scheduled run of a dispatcher ticks on Modal."""
LIST_S = 0.05
HOURS = 11
"""Before noon, in which the jobs of a day ended."""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TENANTS = 20
OBJECTS = ("manifest.json", "out/a1/0.png", "out/a1/metrics.json", "result.json")
"""Of each job."""
WIDTHS = (28, 9, 6, 9, 8, 7, 8)


class EndedJobs(MemoryStore):
    """So many jobs, so many a day up to this noon; what else is put there is really there."""

    def __init__(self, count: int, a_day: int, list_s: float) -> None:
        super().__init__(lambda: NOON)
        self._count, self._a_day, self._list_s = count, a_day, list_s
        sample = result("sample", tenant="acme", platform="modal", usd=0.012)
        self._sample = sample.body().decode()
        self.put(since_key(EVER), BODY, ALWAYS)

    def _ended(self, number: int) -> datetime:
        """The first in number ended first."""
        back = self._count - 1 - number
        seconds = HOURS * 3600 * (back % self._a_day) // self._a_day
        return NOON - timedelta(days=back // self._a_day, seconds=seconds)

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        if not key.endswith("/result.json"):
            return super().get(key, offset=offset, limit=limit)
        id = key.split("/")[1]
        ended = self._ended(int(id.removeprefix("job-")))
        number = int(id.removeprefix("job-"))
        text = self._sample.replace('"sample"', f'"{id}"').replace(
            "2026-11-20T12:00:00Z", ended.strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        text = text.replace('"acme"', f'"{self._tenant(number)}"')
        return Stored(text.encode(), len(text), "etag", ended, NOON)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        for folder, key, count in (
            (SPEND, self._spend_key, self._count),
            (JOBS, self._job_key, self._count * len(OBJECTS)),
        ):
            if prefix.startswith(folder) and prefix != SINCE:
                time.sleep(self._list_s)
                return self._page(prefix, start_after, limit, key, range(count))
        return super().list(prefix, start_after=start_after, limit=limit)

    def _page(
        self, prefix: str, after: str, limit: int, key: Callable[[int], str], numbers: range
    ) -> Page:
        first = max(bisect_left(numbers, prefix, key=key), bisect_right(numbers, after, key=key))
        last = bisect_left(numbers, prefix[:-1] + chr(ord(prefix[-1]) + 1), key=key)
        shown = range(first, min(first + limit, last))
        written = partial(self._written, key=key)
        entries = tuple(Entry(key(number), "etag", 2, written(number)) for number in shown)
        return Page(entries, shown.stop < last, NOON)

    def _written(self, number: int, key: Callable[[int], str]) -> datetime:
        return self._ended(number if key == self._spend_key else number // len(OBJECTS))

    def _tenant(self, number: int) -> str:
        place = self._a_day - 1 - (self._count - 1 - number) % self._a_day
        return f"tenant-{place * TENANTS // self._a_day:02}"

    def _spend_key(self, number: int) -> str:
        day = (NOON - timedelta(days=(self._count - 1 - number) // self._a_day)).date()
        return f"{spend_day(day)}{self._tenant(number)}/modal.flux-dev.120.-.job-{number:08}"

    def _job_key(self, number: int) -> str:
        job, name = divmod(number, len(OBJECTS))
        return f"{JOBS}job-{job:08}/{OBJECTS[name]}"


@dataclass(frozen=True)
class Figures:
    lists: int
    gets: int
    seconds: float
    cpu_s: float
    more_mb: float
    """Of memory at its greatest, beyond what there was before."""
    jobs: int


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(counting: CountingStore, act: Callable[[], int]) -> Figures:
    counting.calls.clear()
    bare, began, cpu = peak_mb(), time.perf_counter(), time.process_time()
    jobs = act()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    calls = counting.calls
    return Figures(calls["LIST"], calls["GET"], seconds, cpu_s, peak_mb() - bare, jobs)


def counted(count: int, a_day: int, act: Callable[[SafeStore], int]) -> list[Figures]:
    configure_logs(Settings(log_level="error"))
    counting = CountingStore(EndedJobs(count, a_day, 0))
    return [timed(counting, lambda: act(SafeStore(counting)))]


def report(store: SafeStore, *, lists_jobs: bool) -> int:
    """Of the last twelve hours."""
    reading = ResultsReader(store, NOON - timedelta(hours=12), lists_jobs=lists_jobs or None)
    return sum_results(reading).real.jobs


def newest(store: SafeStore) -> int:
    return len(finished_ids(store, 50))


def ticks(ended: int) -> list[Figures]:
    """Two ticks, each over a job that waits."""
    configure_logs(Settings(log_level="error"))
    with tempfile.TemporaryDirectory() as folder:
        budgets = Path(folder) / "budgets.toml"
        budgets.write_text("[budgets.total]\nusd = 1000000\n")
        pipeline = PipelineFixture(
            raw=EndedJobs(ended, ended, LIST_S), holding=True, budgets_file=budgets
        )
        pipeline.now, pipeline.pool = NOON, ThreadPoolExecutor(Settings().dispatch_threads)
        pipeline.dispatcher = pipeline.another("dispatcher")
        found = []
        for look in ("first", "next"):
            pipeline.submit("", body(tenant="acme"), key=f"inbox/4.acme.flux-dev.{look}.json")
            found.append(timed(pipeline.raw, lambda: pipeline.tick().spawned))
        pipeline.close()
    return found


def in_fresh_process(measure: Callable[[], list[Figures]]) -> list[Figures]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure).result()


def show(names: Sequence[str], ended: int, measure: Callable[[], list[Figures]]) -> list[Figures]:
    found = in_fresh_process(measure)
    for name, figures in zip(names, found, strict=True):
        seconds = (f"{figures.seconds:.2f}", f"{figures.cpu_s:.2f}")
        told = (figures.lists, figures.gets, *seconds, f"{figures.more_mb:.0f}")
        row(name, f"{ended:,}", *told, widths=WIDTHS)
    return found


def measure(many: int) -> None:
    title(f"Many jobs that have ended, in a computed bucket ({machine()})")
    row("what", "ended", "LISTs", "GETs", "seconds", "of CPU", "more MB", widths=WIDTHS)
    few = 1_000
    acts: dict[str, Callable[[SafeStore], int]] = {
        BY_SPEND: partial(report, lists_jobs=False),
        "report of a day, by jobs/": partial(report, lists_jobs=True),
        "the 50 newest results": newest,
    }
    found: dict[str, list[Figures]] = {}
    for name, act in acts.items():
        for size in (few, many):
            found.setdefault(name, []).extend(show([name], size, partial(counted, size, few, act)))
    looks = ("a tick's first look", "its next look")
    for size in (few, few * 10, few * 100, many):
        first, later = show(looks, size, partial(ticks, size))
    same = len({(each.lists, each.gets, each.jobs) for each in found[BY_SPEND]}) == 1
    goal("a report of a day makes the same calls, however many ended before", met=same)
    within = later.seconds < RUN_S and later.more_mb + first.more_mb < MEMORY_GOAL_MB
    goal(f"a look over {many:,} jobs of a day within a run and {MEMORY_GOAL_MB} MB", met=within)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the objects")
    options = parser.parse_args(arguments)
    measure(100_000 if options.quick else 1_000_000)


if __name__ == "__main__":
    main()

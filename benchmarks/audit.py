"""Memory and rate of `ryla audit`.

Memory is measured over a bucket that is only computed: each job of it is a copy of one that really
ran, with an id and event uuids of its own. Rates over it leave the store out; the last row is a
real SeaweedFS, with every request. Each row is a process of its own, and memory its greatest.
"""

import argparse
import multiprocessing
import resource
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import NAMESPACE_URL, uuid5

from benchmarks.setting import Ground, goal, ground, machine, row, title
from config.logs import configure_logs
from config.settings import Settings
from pipeline.contract.keys import INBOX, JOBS, inbox_key
from pipeline.jobs.audit.bucket_audit import Audit
from pipeline.queue.expiry import Lifetimes
from pipeline.store.base import Entry, Page, Stored
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from pipeline.store.open import open_store
from tests.support.pipeline_fixture import PipelineFixture

MEMORY_GOAL_MB = 300
SAMPLE = "sample-job"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WIDTHS = (30, 10, 9, 9, 11, 9)


class Sample:
    """One job that really ran."""

    def __init__(self) -> None:
        pipeline = PipelineFixture()
        pipeline.submit(SAMPLE)
        pipeline.tick()
        keys = pipeline.keys(JOBS)
        stored = [pipeline.store.get(key) for key in keys]
        self.bodies = {key: each.body for key, each in zip(keys, stored, strict=True) if each}
        self._result = pipeline.result(SAMPLE)
        pipeline.close()

    def of(self, id: str, key: str) -> bytes:
        """The same object of the job `id`."""
        body = self.bodies[key.replace(id, SAMPLE)]
        return self._result_of(id) if key.endswith("/result.json") else body

    def _result_of(self, id: str) -> bytes:
        text = self._result.body().decode().replace(SAMPLE, id)
        for event in self._result.events:
            text = text.replace(event.uuid, str(uuid5(NAMESPACE_URL, f"{event.uuid}{id}")))
        return text.encode()


class ComputedStore(MemoryStore):
    """A folder whose objects are computed when they are asked for; nothing else is there."""

    def __init__(self, folder: str, count: int, key: Callable[[int], str], sample: Sample) -> None:
        """`key` gives them by number, in byte order."""
        super().__init__(lambda: NOW)
        self._folder = folder
        self._numbers = range(count)
        self._key = key
        self._sample = sample

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        if not key.startswith(self._folder):
            return super().get(key, offset=offset, limit=limit)
        body = self._sample.of(key.split("/")[1], key)
        return Stored(body, len(body), "etag", NOW, NOW)

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        if prefix != self._folder:
            return super().list(prefix, start_after=start_after, limit=limit)
        first = bisect_right(self._numbers, start_after, key=self._key)
        entries = tuple(map(self._entry, self._numbers[first : first + limit]))
        return Page(entries, first + limit < len(self._numbers), NOW)

    def _entry(self, number: int) -> Entry:
        key = self._key(number)
        body = self._sample.bodies.get(f"{JOBS}{SAMPLE}/{key.split('/', 2)[-1]}", b"")
        return Entry(key, "etag", len(body), NOW)


@dataclass(frozen=True)
class Figures:
    objects: int
    jobs: int
    events: int
    faults: int
    seconds: float
    bare_mb: float
    peak_mb: float


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def id_of(number: int) -> str:
    return f"job-{number:08}-1f3a9c2e-7b51-4d0e-9a66-2c8d5e01"


def audited(store: SafeStore, settings: Settings) -> Figures:
    bare, began = peak_mb(), time.perf_counter()
    audit = Audit(store, Lifetimes.of(settings))
    tally = audit.run()
    seconds = time.perf_counter() - began
    faults = tally.faults.total()
    return Figures(audit.objects, audit.jobs, tally.events, faults, seconds, bare, peak_mb())


def computed(folder: str, objects: int) -> Figures:
    configure_logs(Settings(log_level="error"))
    sample = Sample()
    names = [key.removeprefix(f"{JOBS}{SAMPLE}/") for key in sorted(sample.bodies)]
    key: Callable[[int], str] = partial(_job_key, names) if folder == JOBS else _entry_key
    return audited(SafeStore(ComputedStore(folder, objects, key, sample)), Settings())


def _job_key(names: Sequence[str], number: int) -> str:
    job, name = divmod(number, len(names))
    return f"{JOBS}{id_of(job)}/{names[name]}"


def _entry_key(number: int) -> str:
    return inbox_key(id_of(number), priority=5, tenant="acme", model="flux-dev")


def real(settings: Settings) -> Figures:
    configure_logs(settings)
    return audited(open_store(settings), settings)


def in_fresh_process(measure: Callable[[], Figures]) -> Figures:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure).result()


def fill(settings: Settings, jobs: int) -> None:
    configure_logs(settings)
    sample, store = Sample(), open_store(settings)

    def put(number: int) -> None:
        id = id_of(number)
        for key in sample.bodies:
            own = key.replace(SAMPLE, id)
            store.write(own, sample.of(id, own), "application/octet-stream")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(jobs)))


def show(name: str, figures: Figures) -> Figures:
    rate = figures.objects / figures.seconds
    memory = (f"{figures.bare_mb:.0f}", f"{figures.peak_mb:.0f}")
    row(
        name,
        f"{figures.objects:,}",
        f"{figures.seconds:.0f}",
        f"{rate:,.0f}",
        *memory,
        widths=WIDTHS,
    )
    return figures


def measure(place: Ground, *, objects: int, real_jobs: int) -> None:
    title(f"Audit ({machine()})")
    row("bucket", "objects", "seconds", "a second", "bare MB", "peak MB", widths=WIDTHS)
    ended = show("computed: jobs that ended", in_fresh_process(partial(computed, JOBS, objects)))
    waiting = show("computed: jobs that wait", in_fresh_process(partial(computed, INBOX, objects)))
    settings = place.bucket("audit")
    fill(settings, real_jobs)
    stored = show("SeaweedFS: jobs that ended", in_fresh_process(partial(real, settings)))
    peak = max(ended.peak_mb, waiting.peak_mb)
    goal(f"{objects:,} objects under {MEMORY_GOAL_MB} MB", met=peak < MEMORY_GOAL_MB)
    faults = ended.faults + waiting.faults + stored.faults
    goal("no fault in a bucket of sound jobs", met=faults == 0 and stored.jobs == real_jobs)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the objects")
    options = parser.parse_args(arguments)
    share = 10 if options.quick else 1
    with ground() as place:
        measure(place, objects=1_000_000 // share, real_jobs=2_500 // share)


if __name__ == "__main__":
    main()

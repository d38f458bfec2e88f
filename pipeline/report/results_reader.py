"""The one reader of results for reports: those committed in a span of time, as a stream."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.contract.keys import JOBS
from pipeline.contract.result import Result
from pipeline.store.conditional import SafeStore, listed

RESULT = "/result.json"
READERS = 16
"""Threads that read results side by side."""
AHEAD = 4
"""Results asked for in advance, for each reader: what is held in memory at a time."""
NAMED = 20
"""Unreadable keys that are named; the rest is only counted."""


@dataclass
class ResultsReader:
    """Iterate it once; the counts grow meanwhile.

    A result is written once, so its LastModified is when it was committed, and LIST alone tells
    which to read. LIST goes through all of jobs/, a request for every 1,000 objects. The tombstone
    of a forgotten job counts where the job ended, in spans that reach to its erasure.
    """

    store: SafeStore
    since: datetime
    until: datetime | None = None
    """Exclusive."""
    readers: int = READERS
    objects: int = 0
    """Seen by LIST."""
    found: int = 0
    """Results of the span."""
    unreadable: int = 0
    """Of the span: gone meanwhile, or no result."""
    named: list[str] = field(default_factory=list)
    """The first of the unreadable ones."""

    def __iter__(self) -> Iterator[Result]:
        asked: deque[tuple[str, Future[Result | None]]] = deque()
        with ThreadPoolExecutor(self.readers, "results") as pool:
            for key in self._keys():
                asked.append((key, pool.submit(self._read, key)))
                if len(asked) >= self.readers * AHEAD:
                    yield from self._given(*asked.popleft())
            while asked:
                yield from self._given(*asked.popleft())

    def _keys(self) -> Iterator[str]:
        for entry in listed(self.store, JOBS):
            self.objects += 1
            if not entry.key.endswith(RESULT) or entry.last_modified < self.since:
                continue
            if self.until is None or entry.last_modified < self.until:
                self.found += 1
                yield entry.key

    def _read(self, key: str) -> Result | None:
        stored = self.store.get(key)
        return None if stored is None else Result.parse(stored.body)

    def _given(self, key: str, answer: Future[Result | None]) -> Iterator[Result]:
        result = answer.result()
        if result is not None:
            if result.erasure is None or result.finished_at >= self.since:
                yield result
            return
        self.unreadable += 1
        if len(self.named) < NAMED:
            self.named.append(key)

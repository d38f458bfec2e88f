"""The one reader of results for reports: those of jobs that ended in a span of time, as a stream.

spend/ is the index by day: it names the jobs that ended in the span, and each of their results is
read, however many others there are. A job whose object under spend/ is still to come has a lease.
Where nobody has said that spend/ holds all of the span, all of jobs/ is listed instead, a request
for every 1,000 objects ever written there.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from pipeline.contract.keys import JOBS, result_key
from pipeline.contract.result import Result
from pipeline.contract.spend_entry import UNITS, SpendEntry
from pipeline.queue.spend_reader import read_days, unnoted_ids, whole_since
from pipeline.store.conditional import SafeStore, listed

RESULT = "/result.json"
READERS = 16
"""Threads that read results side by side."""
AHEAD = 4
"""Results asked for in advance, for each reader: what is held in memory at a time."""
NAMED = 20
"""Unreadable keys that are named; the rest is only counted."""
SKEW = timedelta(hours=1)
"""By which a result may have been written before the end that it names, or a day later begun: the
store's clock is several machines'."""


@dataclass(frozen=True)
class _Asked:
    """A result that is being read."""

    key: str
    noted: SpendEntry | None
    """What named the job; None where a lease or a listing of jobs/ did."""
    is_sure: bool
    """Whether there must be a result."""
    answer: "Future[Result | None]"


@dataclass
class ResultsReader:
    """Iterate it once; the counts grow meanwhile."""

    store: SafeStore
    since: datetime
    until: datetime | None = None
    """Exclusive. None is for all that has ended when it is read."""
    readers: int = READERS
    lists_jobs: bool | None = None
    """Whether all of jobs/ is listed; None until it is known whether it must be."""
    whole_since: date | None = None
    """From when on spend/ holds all, as was found."""
    objects: int = 0
    """Seen by LIST."""
    found: int = 0
    """Results of the span, and those that should have been."""
    unreadable: int = 0
    """Of them: gone, or no result."""
    unreadable_usd: float = 0.0
    """What these have cost, by spend/."""
    named: list[str] = field(default_factory=list)
    """The first of the unreadable ones."""
    _strays: set[str] = field(default_factory=set)
    """Jobs that were counted by an object that does not say what their result does."""

    @property
    def why_listed(self) -> str | None:
        """Why all of jobs/ was listed, and what ends that; None where it was not, or not yet."""
        if not self.lists_jobs:
            return None
        known = f"before {self.whole_since}" if self.whole_since else "of any day"
        day = self.since.astimezone(UTC).date()
        return (
            f"all of jobs/ was listed, {self.objects} objects, because nothing says that spend/"
            f" holds every job {known}. Once no worker of a version without spend/ runs, this ends"
            f" it: ryla spend --rebuild --since {day}"
        )

    def __iter__(self) -> Iterator[Result]:
        waiting: deque[_Asked] = deque()
        with ThreadPoolExecutor(self.readers, "results") as pool:
            for key, noted, is_sure in self._keys():
                waiting.append(_Asked(key, noted, is_sure, pool.submit(self._read, key)))
                if len(waiting) >= self.readers * AHEAD:
                    yield from self._given(waiting.popleft())
            while waiting:
                yield from self._given(waiting.popleft())

    def _keys(self) -> Iterator[tuple[str, SpendEntry | None, bool]]:
        first = self.since.astimezone(UTC).date()
        if self.lists_jobs is None:
            self.whole_since = whole_since(self.store)
            self.lists_jobs = self.whole_since is None or self.whole_since > first
        return self._listed() if self.lists_jobs else self._indexed(first)

    def _indexed(self, first: date) -> Iterator[tuple[str, SpendEntry | None, bool]]:
        unnoted = unnoted_ids(self.store)
        self.objects += len(unnoted)
        last = (self.until or self.store.now() + timedelta(days=1)).astimezone(UTC).date()
        for _, noted in read_days(self.store, first, last):
            self.objects += 1
            if noted is not None:
                unnoted.discard(noted.id)
                yield result_key(noted.id), noted, True
        for id in sorted(unnoted):
            yield result_key(id), None, False

    def _listed(self) -> Iterator[tuple[str, SpendEntry | None, bool]]:
        for entry in listed(self.store, JOBS):
            self.objects += 1
            if entry.key.endswith(RESULT) and entry.last_modified >= self.since - SKEW:
                yield entry.key, None, True

    def _read(self, key: str) -> Result | None:
        stored = self.store.get(key)
        return None if stored is None else Result.parse(stored.body)

    def _given(self, asked: _Asked) -> Iterator[Result]:
        result, noted = asked.answer.result(), asked.noted
        if result is None:
            if asked.is_sure:
                self._miss(asked)
        elif self._is_within(result) and (noted is None or self._counts_by(noted, result)):
            self.found += 1
            yield result

    def _is_within(self, result: Result) -> bool:
        ended = result.finished_at
        return self.since <= ended and (self.until is None or ended < self.until)

    def _counts_by(self, noted: SpendEntry, result: Result) -> bool:
        """Whether it counts by this object. One job may have several, written by versions that say
        other things of it, or of an id that was used again: then it counts by that of its result,
        and if there is none, once."""
        own = SpendEntry.of(result).key
        if own == noted.key:
            return True
        if result.id in self._strays or self.store.get(own, limit=1) is not None:
            return False
        self._strays.add(result.id)
        return True

    def _miss(self, asked: _Asked) -> None:
        self.found += 1
        self.unreadable += 1
        if asked.noted is not None:
            self.unreadable_usd += asked.noted.units / UNITS
        if len(self.named) < NAMED:
            self.named.append(asked.key)

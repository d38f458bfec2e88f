"""Reads how far a batch is, from its own object and from the jobs that it names, from no others.

A look costs LISTs of the inbox entries and leases that begin with the batch's name, a GET for each
lease that changed, and a GET for the result of each job that has neither. A result is read once,
and only what is shown of it is kept: those of thousands of sheets are large. For each row that has
ended its next redo is asked for once, by a GET; later ones are seen in the LISTs.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from pipeline.batches.batch import Batch
from pipeline.batches.lines import FIRST_REDO, RowLine, SheetLine, redo_id, redo_of, sheet_line
from pipeline.contract.keys import LEASES, inbox_key, manifest_key
from pipeline.jobs.status import JobView, LeaseWatch, State, inbox_id, result_or_lease
from pipeline.sheets.cells import SHEET
from pipeline.store.conditional import SafeStore, listed

READERS = 16
"""Jobs read side by side."""
MOST_REDOS = 100
"""Of a row that are looked for."""


@dataclass
class BatchReader:
    """Looks at a batch again and again."""

    store: SafeStore
    batch: Batch
    _sheets: dict[str, SheetLine] = field(default_factory=dict)
    """By job id, as they were seen last."""
    _redos: dict[str, int] = field(default_factory=dict)
    """Row's job → number of its newest redo, 1 for none. Of the rows that were asked."""

    def __post_init__(self) -> None:
        self._leases = LeaseWatch(self.store, f"{LEASES}{self.batch.name}-")
        self._own = {row.id for row in self.batch.rows}

    @property
    def lines(self) -> tuple[RowLine, ...]:
        """In the order of the rows, as they were at the last look."""
        return tuple(
            RowLine(
                row, self._sheets[row.id], tuple(self._sheets[id] for id in self._redos_of(row.id))
            )
            for row in self.batch.rows
        )

    @property
    def done(self) -> bool:
        return all(line.ended for line in self.lines)

    def look(self) -> None:
        """Raises StoreUnavailable or StoreDenied."""
        waiting = waiting_ids(self.store, self.batch)
        held = self._leases.look()
        with ThreadPoolExecutor(READERS, "batch") as pool:
            self._see(pool, self._own, waiting, held)
            self._ask_for_redos(pool)
            self._note_redos((*waiting, *held))
            self._see(
                pool, [id for own in self._redos for id in self._redos_of(own)], waiting, held
            )

    def _see(
        self,
        pool: ThreadPoolExecutor,
        ids: Iterable[str],
        waiting: set[str],
        held: dict[str, JobView],
    ) -> None:
        unclear = list[str]()
        for id in ids:
            view = held.get(id)
            if id in self._sheets and self._sheets[id].ended:
                continue
            if view is not None and view.state is not State.DELIVERING:
                self._sheets[id] = sheet_line(view)
            elif view is None and id in waiting:
                self._sheets[id] = SheetLine(id, State.WAITING)
            else:
                unclear.append(id)
        self._sheets.update(zip(unclear, pool.map(self._read, unclear), strict=True))

    def _read(self, id: str) -> SheetLine:
        return sheet_line(result_or_lease(self.store, id))

    def _note_redos(self, ids: Iterable[str]) -> None:
        for id in ids:
            own, number = redo_of(id) or ("", 0)
            if own in self._redos and number <= MOST_REDOS:
                self._redos[own] = max(self._redos[own], number)

    def _ask_for_redos(self, pool: ThreadPoolExecutor) -> None:
        """Of rows that have ended, for the first time: only of these there can be any."""
        ask = [id for id in self._own if self._sheets[id].ended and id not in self._redos]
        self._redos.update(zip(ask, pool.map(self._newest_redo, ask), strict=True))

    def _newest_redo(self, id: str) -> int:
        number = FIRST_REDO
        while number <= MOST_REDOS and self._is_taken(redo_id(id, number)):
            number += 1
        return number - 1

    def _is_taken(self, id: str) -> bool:
        return self.store.get(manifest_key(id), limit=1) is not None

    def _redos_of(self, own: str) -> list[str]:
        newest = self._redos.get(own, FIRST_REDO - 1)
        return [redo_id(own, number) for number in range(FIRST_REDO, newest + 1)]


def waiting_ids(store: SafeStore, batch: Batch) -> set[str]:
    """Ids of the inbox entries that begin with the batch's name: a LIST for each priority, and for
    each thousand."""
    found = set[str]()
    for priority in range(10):
        first = inbox_key(f"{batch.name}-", priority=priority, tenant=batch.tenant, model=SHEET)
        ids = (inbox_id(entry.key) for entry in listed(store, first.removesuffix(".json")))
        found.update(id for id in ids if id is not None)
    return found


def missing_jobs(store: SafeStore, batch: Batch) -> set[str]:
    """Ids of the batch's jobs that nobody has taken in and that do not wait either."""
    absent = sorted({row.id for row in batch.rows} - waiting_ids(store, batch))
    with ThreadPoolExecutor(READERS, "batch") as pool:
        views = pool.map(partial(result_or_lease, store), absent)
        return {
            id
            for id, view in zip(absent, views, strict=True)
            if view.state is State.UNKNOWN and view.since is None
        }


def row_lines(store: SafeStore, batch: Batch) -> tuple[RowLine, ...]:
    """The rows as they are now, each with the job that stands for it."""
    reader = BatchReader(store, batch)
    reader.look()
    return reader.lines

"""How far a batch is: read from its own object and from the jobs that it names, from no others.

A look costs LISTs of the waiting entries and leases that begin with the batch's name, a GET for
each lease that changed, and a GET for the result of each job that has neither. A result is read
once, and only what is shown of it is kept: results of thousands of sheets are large.
"""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from handlers.character_sheet.progress import ViewState
from pipeline.batches.batch import Batch, BatchRow
from pipeline.contract.keys import LEASES, inbox_key
from pipeline.contract.result import Result, Status
from pipeline.jobs.status import JobView, LeaseWatch, State, inbox_id, result_or_lease
from pipeline.sheets.cells import SHEET
from pipeline.store.conditional import SafeStore, listed

READERS = 16
"""Jobs read side by side."""


@dataclass(frozen=True)
class ViewLine:
    """A view of a sheet."""

    number: int
    """Its place in the sheet, from 1."""
    id: str
    state: str
    """A ViewState."""
    match: float | None = None
    """Null where it was not compared, or is not calibrated."""
    tries: int = 0
    reason: str | None = None
    """Why it is missing, or has no match."""


@dataclass(frozen=True)
class SheetLine:
    """The job of a row, as it is."""

    id: str
    state: State
    status: Status | None = None
    """Of one that has ended."""
    partial: bool = False
    views: tuple[ViewLine, ...] = ()
    usd: float | None = None
    """With all attempts; null until it has ended."""
    error: str | None = None
    """Why it ended otherwise, or why it waits for another attempt: `code: message`."""
    trainable: bool | None = None
    """Null where nobody judged it."""

    @property
    def ended(self) -> bool:
        return self.state is State.FINISHED

    @property
    def made(self) -> int:
        return sum(view.state == ViewState.MADE for view in self.views)

    @property
    def tries(self) -> int:
        return sum(view.tries for view in self.views)

    @property
    def worst_match(self) -> float | None:
        return min((view.match for view in self.views if view.match is not None), default=None)


def sheet_line(view: JobView) -> SheetLine:
    """What is shown of a job."""
    if view.result is not None:
        return _ended(view.id, view.result)
    lease = view.lease
    if lease is None:
        return SheetLine(view.id, view.state)
    views = lease.progress.views if lease.progress else {}
    return SheetLine(
        view.id,
        view.state,
        views=tuple(_in_progress(views)),
        error=None if lease.error is None else f"{lease.error.code}: {lease.error.message}",
    )


def _in_progress(views: Mapping[str, str]) -> Iterable[ViewLine]:
    for place, (name, state) in enumerate(views.items(), start=1):
        number, _, id = name.partition("-")
        yield ViewLine(int(number) if number.isdecimal() else place, id or name, state)


def _ended(id: str, result: Result) -> SheetLine:
    made = [
        ViewLine(
            number=output.view.number,
            id=output.view.id,
            state=ViewState.MADE,
            match=None if output.face is None else output.face.counted_match,
            tries=output.view.tries,
            reason=output.view.reason or output.face_reason,
        )
        for output in result.outputs
        if output.view is not None and output.view.number is not None
    ]
    missing = [
        ViewLine(each.number, each.id, ViewState.MISSING, tries=each.tries, reason=each.reason)
        for each in result.missing
    ]
    error = result.error
    return SheetLine(
        id,
        State.FINISHED,
        result.status,
        partial=result.partial,
        views=tuple(sorted((*made, *missing), key=lambda view: view.number)),
        usd=None if result.cost is None else result.cost.total_usd,
        error=None if error is None else f"{error.code}: {error.message}",
        trainable=None if result.sheet is None else result.sheet.trainable,
    )


@dataclass
class BatchReader:
    """Looks at a batch again and again; `lines` has the last that was seen of each row's job."""

    store: SafeStore
    batch: Batch
    lines: dict[str, SheetLine] = field(default_factory=dict)
    """By job id."""

    def __post_init__(self) -> None:
        self._leases = LeaseWatch(self.store, f"{LEASES}{self.batch.name}-")

    @property
    def done(self) -> bool:
        return len(self.lines) == len(self.batch.rows) and all(
            line.ended for line in self.lines.values()
        )

    def look(self) -> None:
        """Raises StoreUnavailable or StoreDenied."""
        wanted = [row.id for row in self.batch.rows if not self._has_ended(row.id)]
        waiting = find_waiting_rows(self.store, self.batch, set(wanted)) if wanted else set()
        held = self._leases.look() if wanted else {}
        unclear = list[str]()
        for id in wanted:
            view = held.get(id)
            if view is not None and view.state is not State.DELIVERING:
                self.lines[id] = sheet_line(view)
            elif view is None and id in waiting:
                self.lines[id] = SheetLine(id, State.WAITING)
            else:
                unclear.append(id)
        with ThreadPoolExecutor(READERS, "batch") as pool:
            self.lines.update(zip(unclear, pool.map(self._read, unclear), strict=True))

    def _has_ended(self, id: str) -> bool:
        return id in self.lines and self.lines[id].ended

    def _read(self, id: str) -> SheetLine:
        return sheet_line(result_or_lease(self.store, id))


def find_waiting_rows(store: SafeStore, batch: Batch, ids: Collection[str]) -> set[str]:
    """Of these jobs of the batch, those with an inbox entry: a LIST for each priority and each
    thousand."""
    found = set[str]()
    for priority in range(10):
        first = inbox_key(f"{batch.name}-", priority=priority, tenant=batch.tenant, model=SHEET)
        for entry in listed(store, first.removesuffix(".json")):
            id = inbox_id(entry.key)
            if id is not None and id in ids:
                found.add(id)
    return found


def missing_rows(store: SafeStore, batch: Batch) -> set[str]:
    """Ids of the batch's jobs that nobody has taken in and that do not wait either."""
    ids = {row.id for row in batch.rows}
    absent = ids - find_waiting_rows(store, batch, ids)
    ordered = sorted(absent)
    with ThreadPoolExecutor(READERS, "batch") as pool:
        views = pool.map(partial(result_or_lease, store), ordered)
        return {
            id
            for id, view in zip(ordered, views, strict=True)
            if view.state is State.UNKNOWN and view.since is None
        }


@dataclass(frozen=True)
class Totals:
    rows: int
    by_state: Mapping[str, int]
    """Word of `state_word` → rows."""
    views_made: int
    views_missing: int
    usd: float
    """Of the sheets that have ended."""
    remaining_usd: float | None
    """Estimated for the others, with one try of each view; null where it is not known."""


def state_word(line: SheetLine) -> str:
    """How a sheet is, in a word: `partial` is a success that lacks views."""
    if line.partial:
        return "partial"
    return (line.status or line.state).value


def totals(batch: Batch, lines: Mapping[str, SheetLine]) -> Totals:
    by_state: dict[str, int] = {}
    for row in batch.rows:
        word = state_word(lines[row.id])
        by_state[word] = by_state.get(word, 0) + 1
    views = [view for line in lines.values() for view in line.views]
    return Totals(
        rows=len(batch.rows),
        by_state=by_state,
        views_made=sum(view.state == ViewState.MADE for view in views),
        views_missing=sum(view.state == ViewState.MISSING for view in views),
        usd=sum(line.usd or 0.0 for line in lines.values()),
        remaining_usd=_remaining([row for row in batch.rows if not lines[row.id].ended]),
    )


def _remaining(rows: Iterable[BatchRow]) -> float | None:
    known = [row.estimate_usd for row in rows]
    return None if None in known else sum(each or 0.0 for each in known)

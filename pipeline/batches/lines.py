"""What is shown of a batch: a line for each row, cells for its views, totals. Pure.

A row's job is made once. When views of it are made again, that is a job of its own, the row's redo:
`<id>-r2`, then `<id>-r3` and so on. For a row stands its newest redo that succeeded, else its own
job: one that failed or was cancelled leaves what there was.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from handlers.character_sheet.progress import ViewState
from pipeline.batches.batch import BatchRow
from pipeline.contract.result import Result, Status
from pipeline.jobs.status import JobView, State

_REDO = re.compile(r"(.+)-r([1-9][0-9]{0,3})\Z")
FIRST_REDO = 2


def redo_id(id: str, number: int) -> str:
    """Of the redo of that number, from FIRST_REDO, of a row's job."""
    return f"{id}-r{number}"


def redo_of(id: str) -> tuple[str, int] | None:
    """Row's job and number that an id of a redo names, None for any other."""
    match = _REDO.match(id)
    return (match[1], int(match[2])) if match and int(match[2]) >= FIRST_REDO else None


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


@dataclass(frozen=True)
class RowLine:
    """A row with all that was made for it."""

    row: BatchRow
    own: SheetLine
    redos: tuple[SheetLine, ...] = ()
    """The oldest first."""

    @property
    def standing(self) -> SheetLine:
        """What stands for the row."""
        good = (redo for redo in reversed(self.redos) if redo.status is Status.SUCCEEDED)
        return next(good, self.own)

    @property
    def under_way(self) -> SheetLine | None:
        """The redo that has not ended."""
        return next((redo for redo in reversed(self.redos) if not redo.ended), None)

    @property
    def ended(self) -> bool:
        return self.own.ended and self.under_way is None

    @property
    def usd(self) -> float | None:
        """Of all of them; null until one has ended."""
        known = [line.usd for line in (self.own, *self.redos) if line.usd is not None]
        return sum(known) if known else None


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


def totals(lines: Sequence[RowLine]) -> Totals:
    by_state: dict[str, int] = {}
    for line in lines:
        word = state_word(line.standing)
        by_state[word] = by_state.get(word, 0) + 1
    views = [view for line in lines for view in line.standing.views]
    known = [line.row.estimate_usd for line in lines if not line.own.ended]
    return Totals(
        rows=len(lines),
        by_state=by_state,
        views_made=sum(view.state == ViewState.MADE for view in views),
        views_missing=sum(view.state == ViewState.MISSING for view in views),
        usd=sum(line.usd or 0.0 for line in lines),
        remaining_usd=None if None in known else sum(each or 0.0 for each in known),
    )

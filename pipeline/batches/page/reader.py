"""Reads what a batch's page shows: its own object and the jobs that it names, no others.

Beyond what `ryla sheets status` reads, a page costs 4 GETs for each sheet that has ended (result,
`sheet.json`, review, plan), 2 more for each sheet that it reuses views of (their reviews and
plans), and one for each thumbnail; a picture is read only where it has none yet.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from config.errors import InvalidInput
from handlers.media.intake_process import Intake
from pipeline.batches.batch import Batch
from pipeline.batches.batch_reader import READERS, row_lines
from pipeline.batches.lines import RowLine
from pipeline.batches.page.cards import Picture, ReadRow, SheetCard, sheet_card
from pipeline.batches.page.thumbnails import Thumbnail, thumbnail_of
from pipeline.contract.keys import is_output_key, result_key
from pipeline.contract.result import Result
from pipeline.jobs.hold_ups import MAY_WAIT, NOTHING, HoldUps
from pipeline.sheets.cells import SHEET, recorded_picture
from pipeline.sheets.ended_sheet import read_sheet_document
from pipeline.sheets.reviewed_views import reviewed_views
from pipeline.store.conditional import SafeStore

T = TypeVar("T")

MAX_RESULT_BYTES = 8 * 2**20
"""Of a result. No more is read."""

OnProgress = Callable[[str, int, int], None]
"""What is read, how many of it were, and how many there are."""


def tell_nobody(what: str, done: int, whole: int) -> None:
    """An OnProgress."""


@dataclass(frozen=True)
class BatchPage:
    """All that the page is made of."""

    batch: Batch
    made_at: datetime
    """By the store's clock, UTC."""
    cards: tuple[SheetCard, ...]
    """In the order of the rows."""
    thumbnails: Mapping[Picture, Thumbnail]
    why_wait: tuple[str, ...] = ()
    """What keeps sheets of this batch from being made, in words: stops and budgets."""

    @property
    def waiting(self) -> int:
        """Sheets that have not been started, or wait to go on."""
        return sum(card.row.line.standing.state in MAY_WAIT for card in self.cards)


def read_page(
    store: SafeStore,
    batch: Batch,
    shrink: Intake,
    on_progress: OnProgress = tell_nobody,
    hold_ups: HoldUps = NOTHING,
) -> BatchPage:
    """Raises StoreUnavailable and StoreDenied."""
    lines = row_lines(store, batch)
    with ThreadPoolExecutor(READERS, "page") as pool:
        rows = _told(pool.map(partial(_row, store), lines), "sheets", len(lines), on_progress)
        cards = tuple(sheet_card(row) for row in rows)
        views = [view for card in cards for view in card.views]
        pictures = list(dict.fromkeys(view.picture for view in views if view.picture))
        made = pool.map(lambda picture: thumbnail_of(store, picture, shrink), pictures)
        thumbnails = _told(made, "pictures", len(pictures), on_progress)
    return BatchPage(
        batch,
        store.now(),
        cards,
        dict(zip(pictures, thumbnails, strict=True)),
        tuple(hold_ups.why(batch.tenant, SHEET, batch.name)),
    )


def _told(read: Iterable[T], what: str, whole: int, on_progress: OnProgress) -> list[T]:
    found = list[T]()
    for each in read:
        found.append(each)
        on_progress(what, len(found), whole)
    return found


def _row(store: SafeStore, line: RowLine) -> ReadRow:
    id = line.standing.id
    if not line.standing.ended:
        return ReadRow(line)
    result = _result(store, id)
    if result is None:
        return ReadRow(line, problem="its result cannot be read")
    row = ReadRow(line, result, read_sheet_document(store, result), best=_best(store, result))
    try:
        return replace(row, said=reviewed_views(store, id))
    except InvalidInput as error:
        return replace(row, problem=error.message)


def _best(store: SafeStore, result: Result) -> dict[str, str]:
    keys = {view.best for view in result.missing if view.best and is_output_key(view.best)}
    found = {key: recorded_picture(store, result.id, key) for key in keys}
    return {key: picture.sha256 for key, picture in found.items() if picture}


def _result(store: SafeStore, id: str) -> Result | None:
    stored = store.get(result_key(id), limit=MAX_RESULT_BYTES)
    result = None if stored is None else Result.parse(stored.body)
    return result if result is not None and result.id == id else None

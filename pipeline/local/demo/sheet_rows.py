"""What the page shows of each character sheet: its contact sheet, a row for each view, and the
pictures of those that were made more than once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.character_sheet.contact_sheet import reason_words
from handlers.character_sheet.records import Composition, SheetRecords, Try, ViewRecords
from handlers.character_sheet.sheet_document import DocumentView, SheetDocument
from handlers.character_sheet.sheet_files import CONTACT_SHEET, DOCUMENT
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.sheets import DemoSheet, read_sheets
from pipeline.pages.figure_text import NOTHING
from pipeline.pages.html import thumbnail

SHEET_PIXELS = 1232
"""As wide as a contact sheet of five in a row."""
TRY_PIXELS = 320


@dataclass(frozen=True)
class TryPicture:
    """One of the pictures that were made of a view."""

    key: str
    data: str
    """Data URI of a small copy."""
    name: str
    """Such as `01-front, try 1`."""
    fault: str | None
    """In words; None for the one that was kept."""
    measured: str


@dataclass(frozen=True)
class ViewRow:
    view: DocumentView
    asked: str
    measured: str

    @property
    def similarity(self) -> str:
        return NOTHING if self.view.similarity is None else f"{self.view.similarity:.3f}"

    @property
    def match(self) -> str:
        """The number, or why there is none."""
        if self.view.match is not None:
            return f"{self.view.match:.2f}"
        return reason_words(self.view.missing or self.view.match_reason or NOTHING)


@dataclass(frozen=True)
class SheetRow:
    id: str
    base: str
    set_words: str
    data: str
    """The contact sheet."""
    contact_sheet: str
    """Its key."""
    document: str
    """The key of `sheet.json`."""
    views: Sequence[ViewRow]
    tries: Sequence[TryPicture]


def sheet_rows(run: DemoRun) -> list[SheetRow]:
    """Of the sheets that have both files; the largest first."""
    rows = [row for sheet in read_sheets(run) for row in _row(sheet)]
    return sorted(rows, key=lambda row: -len(row.views))


def _row(sheet: DemoSheet) -> Iterator[SheetRow]:
    picture, file, document = sheet.file(CONTACT_SHEET), sheet.file(DOCUMENT), sheet.document
    if picture is None or file is None or document is None:
        return
    records = sheet.records
    found = document.set
    yield SheetRow(
        id=sheet.id,
        base=document.base,
        set_words=f"{'yes,' if found.trainable else 'no, because'} {found.because}",
        data=thumbnail((sheet.out / picture.key).read_bytes(), SHEET_PIXELS),
        contact_sheet=picture.key,
        document=file.key,
        views=[_view_row(view, records.of_view(view.number)) for view in document.views],
        tries=[*_tries(sheet, document, records)],
    )


def _view_row(view: DocumentView, records: ViewRecords) -> ViewRow:
    last = records.chosen or (records.made[-1] if records.made else None)
    asked, measured = (last.asked, last.measured) if last else (None, None)
    return ViewRow(view, _angles(asked), _angles(measured))


def _tries(
    sheet: DemoSheet, document: SheetDocument, records: SheetRecords
) -> Iterator[TryPicture]:
    for view in document.views:
        of_view = records.of_view(view.number)
        if of_view.attempts > 1:
            for made in of_view.made:
                yield _try_picture(sheet, view.name, made)


def _try_picture(sheet: DemoSheet, name: str, made: Composition | Try) -> TryPicture:
    step = "try" if isinstance(made, Try) else "composition"
    return TryPicture(
        key=made.picture.key,
        data=thumbnail((sheet.out / made.picture.key).read_bytes(), TRY_PIXELS),
        name=f"{name}, {step} {made.k}",
        fault=None if made.fault is None else reason_words(made.fault),
        measured=_angles(made.measured),
    )


def _angles(of: Mapping[str, Any] | None) -> str:
    """How the head is turned, and the framing."""
    if of is None:
        return NOTHING
    turned = [f"{name} {round(of[name])}°" for name in ("yaw", "pitch") if of.get(name) is not None]
    return ", ".join([*(turned or ["from behind"]), str(of.get("framing"))])

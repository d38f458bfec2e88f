"""The files of a sheet that ends: `sheet.json`, and the contact sheet. They lie beside its pictures
and are none of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from handlers.character_sheet.contact_sheet import contact_sheet
from handlers.character_sheet.likeness import look
from handlers.character_sheet.plan import SheetPlan
from handlers.character_sheet.records import SheetRecords
from handlers.character_sheet.verdict import judge_sheet
from handlers.faces.boxes import FaceFinder
from handlers.faces.match import Baseline, Calibration

DOCUMENT, CONTACT_SHEET = "sheet.json", "contact-sheet.png"


@dataclass(frozen=True)
class SheetFile:
    name: str
    body: bytes
    content_type: str


def sheet_files(
    plan: SheetPlan,
    records: SheetRecords,
    pictures: Mapping[int, bytes],
    *,
    usd: float,
    why_missing: str,
    finder: FaceFinder | None = None,
    calibration: Calibration | None = None,
) -> tuple[SheetFile, ...]:
    """What is said of a sheet, for programs and for people.

    `pictures` are those chosen, by a view's number. Whoever has neither face models nor pictures
    gives none: then the faces are not compared with one another, and the contact sheet says so.
    `why_missing` is told of views without a choice: the code of what ended the sheet.
    Raises InvalidInput for what is no picture.
    """
    document = judge_sheet(
        plan,
        records,
        {number: look(body, finder) for number, body in pictures.items()},
        usd=usd,
        why_missing=why_missing,
        baseline=_baseline(finder, calibration),
        embedder=finder.embedder if finder else None,
    )
    return (
        SheetFile(DOCUMENT, document.body(), "application/json"),
        SheetFile(CONTACT_SHEET, contact_sheet(document, pictures), "image/png"),
    )


def _baseline(finder: FaceFinder | None, calibration: Calibration | None) -> Baseline | None:
    """A calibration says nothing of another embedder's similarities."""
    if finder is None or calibration is None:
        return None
    if not calibration.fits(finder.embedder, finder.embedder_sha256):
        return None
    return Baseline(calibration.strangers_mean, calibration.same_mean)

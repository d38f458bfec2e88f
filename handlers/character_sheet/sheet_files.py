"""The files of a sheet that ends: `sheet.json`, and the contact sheet. They lie beside its pictures
and are none of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image

from config.errors import InvalidInput
from handlers.character_sheet.contact_sheet import contact_sheet, thumbnail
from handlers.character_sheet.likeness import difference_hash, sheet_looks
from handlers.character_sheet.records import Picture, SheetRecords
from handlers.character_sheet.sheet_document import SheetDocument
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.character_sheet.verdict import judge_sheet
from handlers.media.images import pixels

DOCUMENT, CONTACT_SHEET = "sheet.json", "contact-sheet.png"
MAX_PIXELS = 4 * 2**20
"""Of a picture that is drawn in small, twice what a view may have: decoded, it takes 12 MB."""


@dataclass(frozen=True)
class SheetFile:
    name: str
    body: bytes
    content_type: str


@dataclass(frozen=True)
class SheetFiles:
    document: SheetDocument
    contact_sheet: bytes
    """A PNG."""

    def __iter__(self) -> Iterator[SheetFile]:
        yield SheetFile(DOCUMENT, self.document.body(), "application/json")
        yield SheetFile(CONTACT_SHEET, self.contact_sheet, "image/png")


def sheet_files(
    plan: SheetPlan,
    records: SheetRecords,
    stored: Callable[[Picture], bytes | None],
    *,
    usd: float,
    why_missing: str,
) -> SheetFiles:
    """What is said of a sheet, for programs and for people.

    `stored` reads a picture, and is asked for one at a time, of which only a small copy is kept.
    None, and what is no picture, leaves a place on the contact sheet in which words stand.
    `why_missing` is told of views without a choice: the code of what ended the sheet.
    """
    bits: dict[int, int] = {}
    small: dict[int, Image.Image] = {}
    for number in records.made:
        chosen = records.of_view(number).chosen
        picture = None if chosen is None else _decoded(stored(chosen.picture))
        if picture is not None:
            bits[number], small[number] = difference_hash(picture), thumbnail(picture)
    looks = sheet_looks(records, bits)
    document = judge_sheet(plan, records, looks, usd=usd, why_missing=why_missing)
    return SheetFiles(document, contact_sheet(document, small))


def _decoded(body: bytes | None) -> Image.Image | None:
    try:
        return None if body is None else pixels(body, MAX_PIXELS)
    except InvalidInput:
        return None

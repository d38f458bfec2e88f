import io
from dataclasses import replace

import pytest
from PIL import Image

from handlers.character_sheet.contact_sheet import CELL, GAP, HEIGHT, LABEL, WIDTH
from handlers.character_sheet.likeness import recorded_look
from handlers.character_sheet.records import Picture, SheetRecords
from handlers.character_sheet.sheet_document import SheetDocument
from handlers.character_sheet.sheet_files import CONTACT_SHEET, DOCUMENT, MAX_PIXELS, sheet_files
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.faces.boxes import Box, Face
from handlers.faces.head import Head, five_points
from tests.handlers.character_sheet.calibrations import EMBEDDER, SUM, calibration
from tests.handlers.character_sheet.made_sheets import made, planned
from tests.handlers.character_sheet.sheets import lora_sheet, sheet
from tests.support.portraits import portrait

PICTURE = portrait({}, size=(96, 128))
FRONT = planned(sheet(view_ids=["front"]))


class Finder:
    embedder = EMBEDDER
    embedder_sha256 = SUM

    def find_faces(self, image: bytes) -> list[Face]:
        raise AssertionError("nobody looks for faces when a sheet ends")


def seen(plan: SheetPlan, records: SheetRecords) -> SheetRecords:
    """With one face recorded of every view, looking ahead."""
    points = tuple((48 + 20 * x, 50 + 20 * y) for x, y in five_points(Head()))
    face = Face(Box(20, 30, 50, 60), 0.9, (0.6, 0.8), points)
    look = recorded_look([face], Finder(), calibration())
    for view in plan.views:
        of_view = records.of_view(view.nn)
        looked = of_view
        for one in of_view.made:
            looked = looked.with_(one.model_copy(update={"look": look}))
        records = replace(records, views={**records.views, view.nn: looked})
    return records


def document(plan: SheetPlan, records: SheetRecords, body: bytes | None = PICTURE) -> SheetDocument:
    return sheet_files(plan, records, lambda _: body, usd=0.1, why_missing="").document


def drawn(body: bytes | None) -> bool:
    """Whether there is a picture in the view's place, above the words in its middle."""
    files = sheet_files(FRONT, made(FRONT), lambda _: body, usd=0.1, why_missing="")
    image = Image.open(io.BytesIO(files.contact_sheet))
    top = image.height - GAP - (HEIGHT + LABEL + GAP)
    return image.getpixel((GAP + WIDTH // 2, top + HEIGHT // 2 - 40)) != CELL


def test_a_sheet_has_a_document_and_a_contact_sheet() -> None:
    plan = planned(sheet())
    files = [*sheet_files(plan, made(plan), lambda _: PICTURE, usd=0.1, why_missing="")]

    told = [(file.name, file.content_type) for file in files]
    assert told == [(DOCUMENT, "application/json"), (CONTACT_SHEET, "image/png")]
    assert SheetDocument.parse(files[0].body) == document(plan, made(plan))
    assert Image.open(io.BytesIO(files[1].body)).format == "PNG"


def test_the_chosen_pictures_alone_are_read_one_at_a_time() -> None:
    plan, asked = planned(sheet(view_ids=["front", "back"])), []

    def stored(picture: Picture) -> bytes:
        asked.append(picture.key)
        return PICTURE

    records = made(plan, tries={"front": 3}, missing={"back": "face_shown"})
    sheet_files(plan, records, stored, usd=0.1, why_missing="")
    assert asked == [records.of_view(1).chosen.picture.key]  # type: ignore[union-attr]


def test_faces_are_compared_by_what_the_records_say() -> None:
    """Whoever ends the sheet, with face models or without."""
    plan = planned(lora_sheet(base="flux-dev"))
    found = document(plan, seen(plan, made(plan)))
    assert (found.set.mean_match, found.set.mean_alike, found.embedder) == (1.0, 1.0, EMBEDDER)


def test_faces_of_records_from_before_are_not_compared() -> None:
    plan = planned(lora_sheet(base="flux-dev"))
    found = document(plan, made(plan))
    assert found.set.least_alike is None
    assert found.views[0].match_reason == "not_measured"


HUGE = io.BytesIO()
Image.new("L", (MAX_PIXELS // 1024, 1025)).save(HUGE, "PNG")


@pytest.mark.parametrize("body", [None, b"", b"text", PICTURE[:200], HUGE.getvalue()], ids="abcde")
def test_a_picture_that_cannot_be_read_leaves_its_place_to_words(body: bytes | None) -> None:
    assert drawn(PICTURE)
    assert not drawn(body)
    [front] = document(FRONT, made(FRONT), body).views
    assert (front.missing, front.match) == (None, 0.9)


def test_a_face_still_compares_when_its_picture_is_gone() -> None:
    plan = planned(sheet())
    records = seen(plan, made(plan))
    assert document(plan, records, None).set.mean_alike == 1.0

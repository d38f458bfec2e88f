import datetime
import io

import pytest
from PIL import Image

from config.errors import InvalidInput
from handlers.character_sheet.document import SheetDocument
from handlers.character_sheet.files import CONTACT_SHEET, DOCUMENT, sheet_files
from handlers.faces.boxes import Box, Face
from handlers.faces.head import Head, five_points
from handlers.faces.match import Calibration
from tests.handlers.character_sheet.made_sheets import made, planned
from tests.handlers.character_sheet.sheets import lora_sheet, sheet
from tests.support.portraits import portrait

PICTURE = portrait({}, size=(96, 128))
SUM = "ab" * 32


class Finder:
    """Sees one person, looking ahead, in every picture."""

    embedder = "mine"
    embedder_sha256 = SUM

    def find_faces(self, image: bytes) -> list[Face]:
        assert image
        points = tuple((48 + 20 * x, 50 + 20 * y) for x, y in five_points(Head()))
        return [Face(Box(20, 30, 50, 60), 0.9, (0.6, 0.8), points)]


def calibration(sha256: str = SUM) -> Calibration:
    return Calibration(
        date=datetime.date(2026, 1, 1),
        embedder="mine",
        embedder_sha256=sha256,
        strangers_mean=0.0,
        same_mean=0.8,
        people=2,
        pictures=3,
    )


def document(*args: object, **given: object) -> SheetDocument:
    found = sheet_files(*args, **given)  # type: ignore[arg-type]
    parsed = SheetDocument.parse(found[0].body)
    assert parsed is not None
    return parsed


def test_a_sheet_has_a_document_and_a_contact_sheet() -> None:
    plan = planned(sheet())
    pictures = {view.nn: PICTURE for view in plan.views}
    files = sheet_files(plan, made(plan), pictures, usd=0.1, why_missing="")

    told = [(file.name, file.content_type) for file in files]
    assert told == [(DOCUMENT, "application/json"), (CONTACT_SHEET, "image/png")]
    assert Image.open(io.BytesIO(files[1].body)).format == "PNG"


def test_faces_of_a_lora_s_sheet_are_matched_by_the_calibration_of_their_embedder_alone() -> None:
    plan = planned(lora_sheet(base="flux-dev"))
    pictures = {view.nn: PICTURE for view in plan.views}
    given = {"usd": 0.1, "why_missing": "", "finder": Finder()}

    fits = document(plan, made(plan), pictures, calibration=calibration(), **given)
    other = document(plan, made(plan), pictures, calibration=calibration("cd" * 32), **given)

    assert fits.set.mean_match == 1.0
    assert other.set.mean_match is None
    assert (fits.embedder, other.embedder) == ("mine", "mine")


def test_without_pictures_and_face_models_there_are_both_files_all_the_same() -> None:
    plan = planned(sheet())
    first, second = sheet_files(plan, made(plan), {}, usd=0.1, why_missing="cancelled")
    assert first.body
    assert second.body


def test_what_is_no_picture_is_refused() -> None:
    plan = planned(sheet())
    with pytest.raises(InvalidInput):
        sheet_files(plan, made(plan), {1: b"text"}, usd=0.1, why_missing="")

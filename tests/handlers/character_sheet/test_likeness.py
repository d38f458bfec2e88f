import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from handlers.character_sheet.likeness import (
    Look,
    difference_hash,
    differing_bits,
    recorded_look,
    sheet_looks,
)
from handlers.character_sheet.records import (
    Choice,
    Composition,
    Picture,
    RecordedLook,
    SheetRecords,
)
from handlers.faces.boxes import Box, Face
from handlers.faces.head import Head, five_points
from handlers.faces.match import Baseline
from tests.handlers.character_sheet.calibrations import EMBEDDER, SUM, calibration

SITTER = Image.open(Path(__file__).parents[3] / "examples/accept/faces/sitter.png").convert("RGB")


class Finder:
    embedder = EMBEDDER
    embedder_sha256 = SUM

    def find_faces(self, image: bytes) -> list[Face]:
        raise AssertionError("the faces are found already")


def changed(picture: Image.Image, scale: float = 1.0, brightness: float = 1.0) -> Image.Image:
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    out = io.BytesIO()
    ImageEnhance.Brightness(small).enhance(brightness).save(out, "JPEG", quality=80)
    return Image.open(out)


def bits(one: Image.Image, other: Image.Image) -> int:
    differing = differing_bits(*(Look("", difference_hash(each)) for each in (one, other)))
    assert differing is not None
    return differing


def face(head: Head, side: int = 100) -> Face:
    points = tuple((100 + 40 * x, 100 + 40 * y) for x, y in five_points(head))
    return Face(Box(50, 50, side, side + 20), 0.9, (0.6, 0.8), points)


def test_size_compression_and_brightness_hardly_change_the_hash() -> None:
    for other in (changed(SITTER, 0.5), changed(SITTER, 2.0), changed(SITTER, brightness=0.8)):
        assert bits(SITTER, other) <= 3


def test_another_picture_has_another_hash() -> None:
    assert bits(SITTER, SITTER.transpose(Image.Transpose.ROTATE_90)) > 12


def test_a_grey_picture_has_a_hash_too() -> None:
    assert difference_hash(Image.new("L", (64, 64), 90)) == 0


def test_what_could_not_be_read_differs_by_no_number() -> None:
    assert differing_bits(Look("", 1), Look("")) is None


def chosen(number: int, look: RecordedLook | None) -> list[Any]:
    picture = Picture(
        key="k", bytes=1, sha256=f"{number}", width=64, height=64, content_type="image/png"
    )
    made = Composition(
        number=number, view=f"v{number}", k=1, seed=1, picture=picture, seconds=1.0, look=look
    )
    return [made, Choice(number=number, view=f"v{number}", k=1, of="c")]


def records(*looks: RecordedLook | None) -> SheetRecords:
    return SheetRecords.of(
        record for number, look in enumerate(looks, 1) for record in chosen(number, look)
    )


def test_the_largest_face_is_recorded_and_read_again() -> None:
    told = recorded_look([face(Head(yaw=-30)), face(Head(), side=20)], Finder(), None)
    assert RecordedLook.parse(told.body()) == told
    found = sheet_looks(records(told), {1: 7}).views[1]
    assert found.embedding == pytest.approx((0.6, 0.8))
    assert found.yaw == pytest.approx(-30, abs=1)
    assert found.side == 100
    assert (found.sha256, found.bits, found.measured) == ("1", 7, True)


def test_without_a_face_there_is_no_embedding_and_it_was_looked_for() -> None:
    found = sheet_looks(records(recorded_look([], Finder(), None)), {}).views[1]
    assert (found.embedding, found.measured, found.bits) == (None, True, None)


def test_a_record_without_a_look_is_of_a_face_that_nobody_looked_for() -> None:
    found = sheet_looks(records(None), {1: 7})
    assert (found.embedder, found.baseline) == (None, None)
    assert (found.views[1].measured, found.views[1].bits) == (False, 7)


@pytest.mark.parametrize("packed", ["", "?", "AAA=", "AAAAAAA="])
def test_an_embedding_that_cannot_be_read_is_none(packed: str) -> None:
    told = recorded_look([face(Head())], Finder(), None).model_copy(update={"embedding": packed})
    assert sheet_looks(records(told), {}).views[1].embedding is None


def test_the_calibration_of_the_same_embedder_goes_along_and_no_other() -> None:
    fits, other = (recorded_look([], Finder(), calibration(sum)) for sum in (SUM, "cd" * 32))
    assert sheet_looks(records(fits), {}).baseline == Baseline(0.0, 0.8)
    assert sheet_looks(records(other), {}).baseline is None


def test_what_another_embedder_saw_does_not_compare() -> None:
    mine = recorded_look([face(Head())], Finder(), None)
    other = mine.model_copy(update={"embedder_sha256": "cd" * 32})
    found = sheet_looks(records(other, mine, mine), {})
    assert [found.views[number].measured for number in (1, 2, 3)] == [False, True, True]
    assert found.embedder == EMBEDDER

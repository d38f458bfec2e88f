import io
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from config.errors import InvalidInput
from handlers.character_sheet.likeness import difference_hash, differing_bits, look
from handlers.faces.boxes import Box, Face
from handlers.faces.head import Head, five_points

SITTER = (Path(__file__).parents[3] / "examples/accept/faces/sitter.png").read_bytes()


def changed(picture: bytes, scale: float = 1.0, brightness: float = 1.0) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB").resize(
            (round(image.width * scale), round(image.height * scale))
        )
        out = io.BytesIO()
        ImageEnhance.Brightness(small).enhance(brightness).save(out, "JPEG", quality=80)
    return out.getvalue()


def turned(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        out = io.BytesIO()
        image.transpose(Image.Transpose.ROTATE_90).save(out, "PNG")
    return out.getvalue()


class OneFace:
    """A finder that sees the same face in any picture."""

    embedder = "one"
    embedder_sha256 = "0" * 64

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def find_faces(self, image: bytes) -> list[Face]:
        assert image
        return self.faces


def face(head: Head, side: int = 100) -> Face:
    points = tuple((100 + 40 * x, 100 + 40 * y) for x, y in five_points(head))
    return Face(Box(50, 50, side, side + 20), 0.9, (1.0, 0.0), points)


def test_size_compression_and_brightness_hardly_change_the_hash() -> None:
    whole = look(SITTER, None)
    for other in (changed(SITTER, 0.5), changed(SITTER, 2.0), changed(SITTER, brightness=0.8)):
        assert differing_bits(whole, look(other, None)) <= 3


def test_another_picture_has_another_hash() -> None:
    assert differing_bits(look(SITTER, None), look(turned(SITTER), None)) > 12


def test_a_grey_picture_has_a_hash_too() -> None:
    out = io.BytesIO()
    Image.new("L", (64, 64), 90).save(out, "PNG")
    assert difference_hash(out.getvalue()) == 0


def test_the_largest_face_is_looked_at() -> None:
    found = look(SITTER, OneFace(face(Head(yaw=-30)), face(Head(), side=20)))
    assert found.embedding == (1.0, 0.0)
    assert found.yaw == pytest.approx(-30, abs=1)
    assert found.side == 100


def test_without_a_face_or_a_finder_there_is_no_embedding() -> None:
    assert look(SITTER, OneFace()).embedding is None
    assert look(SITTER, None).embedding is None


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InvalidInput):
        look(b"text", None)

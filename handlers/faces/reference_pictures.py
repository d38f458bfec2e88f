"""Reference pictures as InstantID's nodes are given them."""

import io
from collections.abc import Sequence

from PIL import Image

from handlers.faces.boxes import Face
from handlers.faces.references import Reference
from handlers.faces.upright import GROUND, padded, turned
from handlers.media.images import pixels

FILLED = 0.7
"""Of the picture's width or height, from which a face gets room around it: SCRFD, which InstantID's
nodes look with, misses faces that fill a picture. Chosen."""
ROOM = 0.25
"""Of the picture's longer side, on each side of such a face."""
SIDE = 1024
"""Pixels of a side of several references: the nodes take pictures of one size."""


def prepared(references: Sequence[Reference], faces: Sequence[Face | None]) -> list[bytes]:
    """The pictures as the nodes find the faces: upright, with room around one that fills it, and
    several in one size. A single one that needs nothing stays as it is."""
    if len(references) == 1:
        return [_prepared(references[0].body, faces[0])]
    pictures = [_shown(each.body, face) for each, face in zip(references, faces, strict=True)]
    side = min(SIDE, max(max(picture.size) for picture in pictures))
    return [_png(_square(picture, side)) for picture in pictures]


def _prepared(body: bytes, face: Face | None) -> bytes:
    return body if face is None or _is_ready(body, face) else _png(_shown(body, face))


def _is_ready(body: bytes, face: Face) -> bool:
    with Image.open(io.BytesIO(body)) as image:
        return face.quarters == 0 and not _fills(face, image.size)


def _fills(face: Face, size: tuple[int, int]) -> bool:
    return face.box.width > FILLED * size[0] or face.box.height > FILLED * size[1]


def _shown(body: bytes, face: Face | None) -> Image.Image:
    image = pixels(body)
    if face is None:
        return image
    upright = turned(image, face.quarters)
    return padded(upright, ROOM)[0] if _fills(face, image.size) else upright


def _square(picture: Image.Image, side: int) -> Image.Image:
    whole = Image.new("RGB", (side, side), GROUND)
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.resize(size, Image.Resampling.LANCZOS)
    whole.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return whole


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=4)
    return out.getvalue()

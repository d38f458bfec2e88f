"""Faces as plain data: which one is meant, and the square around it that is worked on."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from config.errors import FaceError, NoFace

Embedding = tuple[float, ...]
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Whole pixels, from the picture's top left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height


@dataclass(frozen=True)
class Face:
    box: Box
    """Inside the picture."""
    score: float
    """The detector's, 0 to 1."""
    embedding: Embedding
    """Of length 1."""
    landmarks: tuple[Point, ...]
    """Eyes, nose and corners of the mouth, in pixels; those at the face's own right first."""
    shown: float = 1.0
    """Share of it, from brows to chin, that lies in the picture."""
    quarters: int = 0
    """Turns of 90 degrees against the clock that set the picture upright, 0 to 3."""


class FaceFinder(Protocol):
    """What finds faces and tells them apart."""

    @property
    def embedder(self) -> str:
        """Name of the models; similarities of different ones do not compare."""

    @property
    def embedder_sha256(self) -> str:
        """Of the embedder's file: one name may stand for several."""

    def find_faces(self, image: bytes) -> list[Face]:
        """Largest first. Raises InvalidInput for what is no picture."""


def choose(faces: Sequence[Face], index: int | None = None) -> Face:
    """The largest, or the one at `index` (0 is the largest). Raises NoFace."""
    if not faces:
        raise NoFace(
            "no face was found in the picture",
            hint="Use a picture in which one face is large, upright and not covered.",
        )
    if not 0 <= (index or 0) < len(faces):
        raise NoFace(
            f"the picture has {len(faces)} face(s), none with index {index}",
            field="face_index",
            value=index,
            hint="Faces are counted from 0, the largest first.",
        )
    return faces[index or 0]


def largest_first(faces: Iterable[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: face.box.width * face.box.height, reverse=True)


def box_within(edges: tuple[float, float, float, float], size: tuple[int, int]) -> Box | None:
    """Between left, top, right and bottom, cut off at the picture's edges; None if none is left."""
    left, top, right, bottom = edges
    x, y = max(0, math.floor(left)), max(0, math.floor(top))
    width, height = min(size[0], math.ceil(right)) - x, min(size[1], math.ceil(bottom)) - y
    return Box(x, y, width, height) if width > 0 and height > 0 else None


def normalised(embedding: Sequence[float]) -> Embedding:
    """Of length 1. Raises FaceError for one without a direction."""
    length = math.hypot(*embedding)
    if not 0 < length < math.inf:
        raise FaceError("the embedder returned no direction", value=length)
    return tuple(part / length for part in embedding)


def crop_box(face: Box, size: tuple[int, int], padding: float) -> Box:
    """The square of `padding` times the face's longer side around it, kept inside the picture.

    It always contains the face, which must lie in the picture of this size; it is less than
    padded where the picture ends, and not square only where no square could hold the face.
    """
    width, height = size
    longest = max(face.width, face.height)
    side = max(longest, min(math.ceil(longest * padding), width, height))
    across, down = min(side, width), min(side, height)
    return Box(
        x=_placed(face.x, face.width, across, width),
        y=_placed(face.y, face.height, down, height),
        width=across,
        height=down,
    )


def _placed(start: int, length: int, wanted: int, room: int) -> int:
    """Where `wanted` pixels begin that have the stretch in their middle, or as near as fits."""
    centred = start + (length - wanted) // 2
    return max(0, min(centred, room - wanted))

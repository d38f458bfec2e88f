"""The five points of a face in what InstantID is shown: drawn ones, or those of a found face."""

import math
from collections.abc import Sequence
from functools import cache, lru_cache

from PIL import Image, ImageChops

from handlers.faces.boxes import Point
from handlers.faces.dlib_finder import is_installed, load_detector
from handlers.faces.head import Head, Pose, five_points
from handlers.faces.landmark_image import COLOURS, DOT
from handlers.faces.mtcnn import Detector

Points = Sequence[Point]
GUESSED_EYES, GUESSED_HEIGHT = 0.18, 0.44
"""Of a portrait's shorter side between the eyes, and of its height above them."""
LOOKED_AT = 512
"""Pixels of the longer side at which faces are looked for."""


def drawn_points(image: Image.Image) -> Points | None:
    """Of a picture of landmarks; None for any other. A hidden eye lies where the other one is."""
    found = [_dot(image, colour) for colour in COLOURS]
    for one, other in ((0, 1), (3, 4)):
        found[one], found[other] = found[one] or found[other], found[other] or found[one]
    points = [point for point in found if point is not None]
    return points if len(points) == len(COLOURS) else None


def _dot(image: Image.Image, colour: Sequence[int]) -> Point | None:
    """The middle of what has a colour, if that is about as small as a drawn point."""
    bands = (
        band.point([255 * ((level > 200) if part else (level < 55)) for level in range(256)])
        for band, part in zip(image.split(), colour, strict=True)
    )
    red, green, blue = bands
    box = ImageChops.multiply(ImageChops.multiply(red, green), blue).getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) > 4 * DOT:
        return None
    return (box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2


def found_points(image: Image.Image) -> Points | None:
    """Of the largest face, or None where none is found or the face model is not installed."""
    scale = min(1.0, LOOKED_AT / max(image.size))
    small = image.resize((math.ceil(image.width * scale), math.ceil(image.height * scale)))
    points = _found(small.size, small.tobytes())
    return None if points is None else [(x / scale, y / scale) for x, y in points]


@lru_cache(maxsize=64)  # a job looks at one reference again and again
def _found(size: tuple[int, int], pixels: bytes) -> Points | None:
    detector = _detector()
    if detector is None:
        return None
    faces = detector.detect(Image.frombytes("RGB", size, pixels))
    largest = max(faces, key=lambda face: face.bottom - face.top, default=None)
    return None if largest is None else largest.points


def guessed_points(size: tuple[int, int]) -> Points:
    """Where a face is in most portraits."""
    width, height = size
    middle = (width / 2, GUESSED_HEIGHT * height)
    return Pose(Head(), middle, GUESSED_EYES * min(size)).placed(five_points(Head()))


@cache
def _detector() -> Detector | None:
    """None where the face model is not installed."""
    return load_detector() if is_installed() else None

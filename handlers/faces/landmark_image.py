"""A head as InstantID's control net knows it: five coloured points on black, joined at the nose.

The nodes draw such a picture from the face that they find in `image_kps`; one in which they find
none is taken as drawn already.
"""

import io
import math
from collections.abc import Sequence

from handlers.faces.boxes import Box, Point
from handlers.faces.head import Head, Pose, five_points, outline, projected
from handlers.faces.view import Framing, reference_height

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
"""Of eyes, nose and corners of the mouth, those at the picture's left first."""
NOSE = 2
DOT, LIMB = 10, 4
"""Radius of a point and half a limb's greatest width, in pixels of a picture of any size."""
DIMMED = 0.6
"""Brightness of the limbs: the points stand out."""

FACE_HEIGHT, FACE_MIDDLE = 2.9, (0.0, 0.37, -0.6)
"""How high a detector's box is around a face that looks at the viewer, and where its middle lies
from the middle between the eyes; in distances between the eyes. MTCNN's are 2.7 to 3.2 high."""
MARGIN = 0.04
"""Of the picture, kept free around the head."""


FACE_SHARE = {Framing.CLOSE_UP: 0.38, Framing.HALF: 0.18, Framing.FULL: 0.085}
"""How high a face is drawn, of the picture's height: a body is about 7.5 heads high."""
HEADROOM = {Framing.CLOSE_UP: 0.08, Framing.HALF: 0.08, Framing.FULL: 0.06}
"""Where the crown begins, of the picture's height."""


def landmark_image(head: Head, framing: Framing, size: tuple[int, int]) -> bytes:
    """A PNG of this width and height in pixels, the whole head inside it."""
    return drawn_points(landmarks(head, framing, size), size)


def landmarks(head: Head, framing: Framing, size: tuple[int, int]) -> tuple[Point, ...]:
    """Where the five points are to be, in pixels."""
    return placed_pose(head, framing, size).placed(five_points(head))


def placed_pose(head: Head, framing: Framing, size: tuple[int, int]) -> Pose:
    """The head in the middle of the picture's width, as large as the framing says or as fits."""
    width, height = size
    left, top, right, bottom = outline(head)
    scale = min(
        FACE_SHARE[framing] * reference_height(size) / FACE_HEIGHT,
        (1 - 2 * MARGIN) * width / (right - left),
        (1 - 2 * MARGIN) * height / (bottom - top),
    )
    free = height * (1 - MARGIN) - scale * (bottom - top)  # what is left above, if it is less
    crown = min(HEADROOM[framing] * height, free)
    return Pose(head, (width / 2 - scale * (left + right) / 2, crown - scale * top), scale)


def fitted_landmarks(head: Head, face: Box) -> tuple[Point, ...]:
    """The five points of a head that is turned so where a face was found, in pixels."""
    scale = face.height / FACE_HEIGHT
    right, down = projected(FACE_MIDDLE, head)
    x, y = face.x + face.width / 2, face.y + face.height / 2
    return Pose(head, (x - scale * right, y - scale * down), scale).placed(five_points(head))


def drawn_points(points: Sequence[Point], size: tuple[int, int]) -> bytes:
    """A PNG of five points in pixels, as the control net was trained on."""
    # Here, for the kinds are imported by commands that draw nothing.
    from PIL import Image, ImageDraw

    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    nose = points[NOSE]
    for at, colour in enumerate(COLOURS):
        if at != NOSE:
            draw.polygon(_limb(points[at], nose), tuple(int(DIMMED * part) for part in colour))
    for (x, y), colour in zip(points, COLOURS, strict=True):
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), colour)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _limb(end: Point, nose: Point) -> list[Point]:
    """An ellipse from one point to the other, as a polygon."""
    (x, y), (to_x, to_y) = end, nose
    along = complex(to_x - x, to_y - y) / 2
    across = 1j * LIMB * along / abs(along) if along else 0j
    middle = complex(x, y) + along
    around = (
        middle + along * math.cos(turn) + across * math.sin(turn)
        for turn in (math.tau * step / 72 for step in range(72))
    )
    return [(place.real, place.imag) for place in around]

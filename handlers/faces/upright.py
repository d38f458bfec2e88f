"""Pictures that lie on their side or stand on their head: how far they must be turned, and where
what is found in the turned one lies in the picture as it came."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from PIL import Image

from handlers.faces.boxes import Point

Edges = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""
TURNS = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
"""Against the clock, by quarters."""

GROUND = (127, 127, 127)

Found = TypeVar("Found")


def find_upright(
    image: Image.Image,
    look: Callable[[Image.Image], Sequence[Found]],
    certainty: Callable[[Found], float],
    sure: float,
) -> tuple[int, Sequence[Found]]:
    """Quarter turns against the clock after which a face is surest, and what was found then.

    A detector also sees faces in pictures that are upside down, with features where there are none,
    but is less sure of them. Where it is `sure` of one, the picture is not turned.
    """
    best: tuple[int, Sequence[Found]] = (0, look(image))
    score = _surest(best[1], certainty)
    for quarters in (1, 2, 3):
        if score >= sure and best[0] == 0:
            break
        found = look(turned(image, quarters))
        if (other := _surest(found, certainty)) > score:
            best, score = (quarters, found), other
    return best


def turned(image: Image.Image, quarters: int) -> Image.Image:
    """By quarters against the clock, 0 to 3."""
    turn = TURNS[quarters]
    return image if turn is None else image.transpose(turn)


def point_back(point: Point, quarters: int, size: tuple[int, int]) -> Point:
    """Where a point of the turned picture lies in the picture of this size as it came."""
    x, y = point
    width, height = size
    return ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[quarters]


def edges_back(edges: Edges, quarters: int, size: tuple[int, int]) -> Edges:
    left, top, right, bottom = edges
    (x, y), (u, v) = (
        point_back(corner, quarters, size) for corner in ((left, top), (right, bottom))
    )
    return min(x, u), min(y, v), max(x, u), max(y, v)


def padded(image: Image.Image, share: float = 0.5) -> tuple[Image.Image, tuple[int, int]]:
    """The picture with grey on each side, this share of its longer one, and its place in it."""
    border = round(share * max(image.size))
    around = Image.new("RGB", (image.width + 2 * border, image.height + 2 * border), GROUND)
    around.paste(image, (border, border))
    return around, (border, border)


def _surest(found: Sequence[Found], certainty: Callable[[Found], float]) -> float:
    return max(map(certainty, found), default=0.0)

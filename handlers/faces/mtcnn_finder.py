"""Faces by MTCNN, each embedded by a network of its own: what the finders without insightface's
detector share."""

from collections.abc import Sequence

from PIL import Image

from handlers.faces.alignment import fit, shown
from handlers.faces.boxes import Embedding, Face, Point, box_within, largest_first
from handlers.faces.mtcnn import Detection, Detector
from handlers.faces.upright import edges_back, find_upright, point_back
from handlers.media.images import pixels

SURE = 0.99
"""MTCNN's score of an upright photograph; of one upside down it was 0.88 to 0.98."""
DOUBTFUL = 0.9
"""Patterns in 12 sizes of one photograph and in 64 others had up to 0.87, faces 0.93 or more."""


class MtcnnFinder:
    """A FaceFinder but for the embedding."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def find_faces(self, picture: bytes) -> list[Face]:
        """Largest first. Raises InvalidInput for what is no picture."""
        image = pixels(picture)
        quarters, found = find_upright(image, self._detector.detect, _certainty, SURE)
        faces = (self._face(image, one, quarters) for one in credible(found))
        return largest_first(face for face in faces if face is not None)

    def _face(self, image: Image.Image, one: Detection, quarters: int) -> Face | None:
        edges = (one.left, one.top, one.right, one.bottom)
        box = box_within(edges_back(edges, quarters, image.size), image.size)
        if box is None:
            return None
        points = tuple(point_back(point, quarters, image.size) for point in one.points)
        embedding = self.embedding(image, points)
        return Face(box, one.score, embedding, points, shown(points, image.size), quarters)

    def embedding(self, image: Image.Image, points: Sequence[Point]) -> Embedding:
        """Of length 1, of the face with these five points."""
        raise NotImplementedError


def credible(found: Sequence[Detection]) -> list[Detection]:
    """Beside a sure face, what is far less so is a pattern: some are larger than the face."""
    least = DOUBTFUL if max(map(_certainty, found), default=0.0) >= SURE else 0.0
    return [one for one in found if one.score >= least]


def aligned(
    image: Image.Image, points: Sequence[Point], places: Sequence[Point], side: int
) -> Image.Image:
    """The face set upright in a square of its own, its points at the network's places for them."""
    placed = fit(points, places)
    if placed is None:
        return Image.new("RGB", (side, side))
    if (times := int(1 / abs(placed.turn))) > 1:  # else pixels between the sampled ones are lost
        image = image.reduce(times)
        placed = fit([(x / times, y / times) for x, y in points], places) or placed
    back = placed.inverse()
    a, b = back.turn.real, back.turn.imag
    matrix = (a, -b, back.shift.real, b, a, back.shift.imag)
    return image.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def _certainty(one: Detection) -> float:
    return one.score

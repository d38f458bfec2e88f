"""Who is seen in the stand-in's pictures: a reference's person, a stranger, somebody drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from handlers.comfyui.standin.drawn_face import DRAWN_POINTS, drawn_face
from handlers.faces.boxes import Point

Colour = tuple[int, int, int]
PORTRAIT = "data/astronaut.png"
"""In scikit-image, where that is installed: E. Collins by NASA, public domain."""
PORTRAIT_POINTS: Sequence[Point] = ((205, 100), (247, 103), (225, 129), (201, 139), (245, 142))


@dataclass(frozen=True)
class Person:
    picture: Image.Image
    """RGB."""
    points: Sequence[Point]
    """Of the face in it, in pixels."""

    @property
    def skin(self) -> Colour:
        """Between eyes and mouth."""
        x, y = (round(sum(part) / len(self.points)) for part in zip(*self.points, strict=True))
        patch = self.picture.crop((x - 8, y - 8, x + 8, y + 8)).resize((1, 1))
        return _colour(patch)

    @property
    def hair(self) -> Colour:
        """Two distances of the eyes above them."""
        (left, eyes), (right, _) = self.points[:2]
        x, y = round((left + right) / 2), max(8, round(eyes - 1.6 * (right - left)))
        return _colour(self.picture.crop((x - 8, y - 8, x + 8, y + 8)).resize((1, 1)))


def _colour(pixel: Image.Image) -> Colour:
    red, green, blue = (band.getpixel((0, 0)) for band in pixel.split())
    return int(red or 0), int(green or 0), int(blue or 0)  # type: ignore[arg-type]


def stranger(to: Person) -> Person:
    """Somebody else: a photograph, which a face network tells from a drawing and from others."""
    portrait = _portrait()
    if portrait is None or portrait.picture.tobytes() == to.picture.tobytes():
        return drawn_person("stranger")
    return portrait


@cache
def _portrait() -> Person | None:
    spec = find_spec("skimage")
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0], PORTRAIT) if folders else None
    if path is None or not path.is_file():
        return None
    with Image.open(path) as image:
        return Person(image.convert("RGB"), PORTRAIT_POINTS)


@cache
def drawn_person(name: str) -> Person:
    """Another name, other colours."""
    return Person(drawn_face(name), DRAWN_POINTS)

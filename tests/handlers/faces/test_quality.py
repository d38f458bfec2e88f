"""Reasons in the place of numbers, on a photograph that is shrunk, cut, turned and doubled."""

from collections.abc import Callable

import pytest
from PIL import Image

from handlers.faces.boxes import Box, Face
from handlers.faces.dlib_finder import DlibFinder
from handlers.faces.head import Head, five_points
from handlers.faces.match import Reason, similarity
from handlers.faces.measurement import Scorer
from handlers.faces.quality import flaw, is_crowd
from tests.support.photographs import astronaut, png


def cut(left: int, top: int, right: int, bottom: int) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.crop((left, top, right, bottom))


def side_by_side(image: Image.Image) -> Image.Image:
    both = Image.new("RGB", (2 * image.width, image.height))
    both.paste(image)
    both.paste(image, (image.width, 0))
    return both


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda image: image, None),
        (lambda image: image.resize((256, 256)), None),
        (lambda image: image.resize((160, 160)), Reason.FACE_TOO_SMALL),
        (cut(219, 0, 512, 512), Reason.FACE_CUT),
        (cut(0, 0, 512, 133), Reason.FACE_CUT),
        (cut(179, 40, 300, 190), None),
        (lambda _: Image.linear_gradient("L").convert("RGB"), Reason.NO_FACE),
        (side_by_side, Reason.SEVERAL_FACES),
    ],
)
def test_a_face_that_says_nothing_gets_a_reason_and_no_number(
    changed: Callable[[Image.Image], Image.Image], reason: Reason | None, embedded: DlibFinder
) -> None:
    reference = png(astronaut())
    scorer = Scorer.of(lambda: embedded, reference, lambda: None)

    score, _ = scorer.measure(png(changed(astronaut())))

    if reason is None:
        assert score.similarity is not None
        assert score.similarity > 0.97
    else:
        assert (score.similarity, score.match, score.reason) == (None, None, reason)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_picture_on_its_side_or_head_is_looked_at_upright(
    quarters: int, embedded: DlibFinder
) -> None:
    (upright,) = embedded.find_faces(png(astronaut()))
    (face,) = embedded.find_faces(png(astronaut().rotate(90 * quarters)))

    assert similarity(face.embedding, upright.embedding) > 0.99
    assert (face.quarters, flaw(face)) == (4 - quarters, None)
    turned = png(astronaut().rotate(90 * quarters).crop(around(face.box)))
    assert embedded.find_faces(turned), "the box is where the face is"


def around(box: Box) -> tuple[int, int, int, int]:
    return box.x - 30, box.y - 30, box.right + 30, box.bottom + 30


def a_face(box: Box, yaw: float = 0.0) -> Face:
    points = tuple((200 + 60 * x, 150 + 60 * y) for x, y in five_points(Head(yaw=yaw)))
    return Face(box, 0.99, (1.0,), points)


@pytest.mark.parametrize(("yaw", "reason"), [(44, None), (-44, None), (-46, Reason.FACE_TURNED)])
def test_a_head_that_looks_to_a_side_does_not_compare(yaw: float, reason: Reason | None) -> None:
    assert flaw(a_face(Box(120, 80, 160, 200), yaw)) is reason


@pytest.mark.parametrize(("side", "reason"), [(40, None), (39, Reason.FACE_TOO_SMALL)])
def test_a_face_counts_from_40_pixels_on(side: int, reason: Reason | None) -> None:
    assert flaw(a_face(Box(120, 80, side, side + 20))) is reason


def test_a_second_face_is_a_crowd_only_if_it_is_as_large() -> None:
    def face(height: int) -> Face:
        return Face(Box(0, 0, 100, height), 0.9, (1.0,), ((0.0, 0.0),) * 5)

    assert is_crowd([face(100), face(95)])
    assert not is_crowd([face(100), face(80)])
    assert not is_crowd([face(100)])

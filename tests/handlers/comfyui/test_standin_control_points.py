import io
from collections.abc import Callable
from itertools import product

import pytest
from PIL import Image

from handlers.comfyui.standin.control_points import drawn_points, found_points, guessed_points
from handlers.comfyui.standin.people import PORTRAIT_POINTS, drawn_person, stranger
from handlers.faces.dlib_finder import is_installed
from handlers.faces.head import Head, measured_head
from handlers.faces.landmark_image import landmark_image, landmarks
from handlers.faces.view import Framing

HEADS = [Head(), Head(-35), Head(50, 10, -5), Head(0, -20)]


def picture(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


@pytest.mark.parametrize(("head", "framing"), [*product(HEADS, Framing)])
def test_drawn_landmarks_are_read_where_they_were_drawn(head: Head, framing: Framing) -> None:
    size = (832, 1216)
    found = drawn_points(picture(landmark_image(head, framing, size)))
    assert found is not None
    for seen, asked in zip(found, landmarks(head, framing, size), strict=True):
        assert seen == pytest.approx(asked, abs=6)  # where points overlap


def test_an_eye_that_is_hidden_behind_the_other_lies_where_that_one_is() -> None:
    found = drawn_points(picture(landmark_image(Head(90), Framing.CLOSE_UP, (512, 512))))
    assert found is not None
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "drawn",
    [
        lambda: Image.new("RGB", (64, 64)),
        lambda: drawn_person("anna").picture,
        lambda: Image.new("RGB", (99, 9), (255, 0, 0)),
    ],
    ids=["black", "a person", "red"],
)
def test_any_other_picture_is_none_of_landmarks(drawn: Callable[[], Image.Image]) -> None:
    assert drawn_points(drawn()) is None


@pytest.mark.skipif(not is_installed(), reason="needs the embedded face model")
def test_a_face_is_found_in_a_photograph_and_none_in_a_plain_picture() -> None:
    photograph = stranger(drawn_person("anna"))
    found = found_points(photograph.picture)
    assert found is not None
    for seen, known in zip(found, PORTRAIT_POINTS, strict=True):
        assert seen == pytest.approx(known, abs=3)
    assert found_points(Image.new("RGB", (200, 300), (90, 120, 90))) is None


def test_a_guessed_face_looks_at_the_viewer_from_the_middle() -> None:
    points = guessed_points((400, 600))
    assert measured_head(points) == Head()
    assert points[2][0] == 200

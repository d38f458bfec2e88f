"""What the real nodes give InstantID's control net: the five points, as they were drawn."""

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

import pytest
from PIL import Image

from handlers.faces.boxes import Box, Point
from handlers.faces.head import Head
from handlers.faces.landmark_image import COLOURS, landmark_image
from handlers.faces.view import Framing
from handlers.kinds.base import Rendered
from tests.comfyui.kind_jobs import (
    PLACE,
    SIZE,
    WITH_FACES,
    Case,
    ControlImages,
    Maker,
    opened,
)
from tests.support.comfy_wire import Server
from tests.support.micro_faces import LANDMARKS

pytestmark = pytest.mark.xdist_group("faces")

LEFT, RIGHT = {"yaw": -35.0}, {"yaw": 35.0}
TWO_PASSES = ("flux-instantid-flux-dev", "flux-instantid-z-image")
Controlled = Callable[[str, dict[str, float] | None], Rendered]
"""A job of a case whose picture is its control image, with this head."""


@pytest.fixture
def controlled(server: Server, offered: str, maker_for: Callable[[Case], Maker]) -> Controlled:
    if not server.real:
        pytest.skip("the stand-in has no control net")
    if '"MicroControlImage"' not in offered:
        pytest.skip("this ComfyUI lacks micro/control_image.py: see micro/README.md")

    def made(name: str, head: dict[str, float] | None) -> Rendered:
        case = WITH_FACES[name]
        maker = replace(maker_for(case), runner=ControlImages)
        return maker.make(replace(case, fields=case.fields | {"head": head}))

    return made


def test_in_one_pass_it_is_the_drawn_head_pixel_by_pixel(controlled: Controlled) -> None:
    images = [opened(controlled("sdxl-instantid", head).body) for head in (LEFT, RIGHT, LEFT)]

    drawn = [
        opened(landmark_image(Head(yaw), Framing.CLOSE_UP, SIZE)) for yaw in (-35.0, 35.0, -35.0)
    ]
    assert [image.tobytes() for image in images] == [image.tobytes() for image in drawn]
    assert images[0].tobytes() != images[1].tobytes()


def test_without_a_head_it_is_the_face_of_the_reference(controlled: Controlled) -> None:
    image = opened(controlled("sdxl-instantid", None).body)

    face = Box(240, 140, 160, 200)
    assert image.size == (640, 480)
    for (across, down), colour in zip(LANDMARKS, COLOURS, strict=True):
        place = (round(face.x + across * face.width), round(face.y + down * face.height))
        assert image.getpixel(place) == colour


@pytest.mark.parametrize("name", TWO_PASSES)
def test_in_two_passes_it_is_the_asked_head_where_the_face_was_composed(
    controlled: Controlled, name: str
) -> None:
    left, right, again = (controlled(name, head) for head in (LEFT, RIGHT, LEFT))

    assert left.body == again.body
    for made, side in ((left, -1), (right, 1)):
        eye, other_eye, nose, *mouth = _points(made)
        eyes = (eye[0] + other_eye[0]) / 2
        assert side * (nose[0] - eyes) > 0.1 * PLACE.width
        assert eye[1] < nose[1] < min(y for _, y in mouth)
        for x, y in (eye, other_eye, nose, *mouth):
            assert PLACE.x <= x <= PLACE.right
            assert PLACE.y <= y <= PLACE.bottom


@pytest.mark.parametrize("name", TWO_PASSES)
def test_in_two_passes_without_a_head_nothing_is_drawn(controlled: Controlled, name: str) -> None:
    """The crop is the pose then, as the nodes see it."""
    assert controlled(name, None).body != controlled(name, LEFT).body


def _points(made: Rendered) -> list[Point]:
    """Where the five points lie in the whole picture, by their colours in the control image."""
    assert made.face is not None
    crop, image = made.face.resampled, opened(made.body)
    assert crop is not None
    points = []
    for colour in COLOURS:
        x, y = _middle_of(image, colour)
        points.append(
            (crop.x + x * crop.width / image.width, crop.y + y * crop.height / image.height)
        )
    return points


def _middle_of(image: Image.Image, colour: tuple[int, int, int]) -> Point:
    found = [
        (x, y)
        for y in range(image.height)
        for x in range(image.width)
        if image.getpixel((x, y)) == colour
    ]
    assert found, f"nothing is {colour}"
    return fmean(x for x, _ in found), fmean(y for _, y in found)

import io
import math
from itertools import product

import pytest
from PIL import Image

from handlers.faces.boxes import Box
from handlers.faces.head import Head, five_points, measured_head
from handlers.faces.landmark_image import (
    COLOURS,
    FACE_HEIGHT,
    FACE_SHARE,
    drawn_points,
    fitted_landmarks,
    landmark_image,
    landmarks,
    placed_pose,
)
from handlers.faces.view import Framing, framing_of

SIZES = [(1024, 1024), (832, 1216), (1216, 832), (512, 512)]
HEADS = [Head(), Head(-35), Head(90), Head(0, 40), Head(20, -30, 45)]


def pixels(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_each_point_is_drawn_in_its_own_colour() -> None:
    head, size = Head(30, 10, -5), (832, 1216)
    image = pixels(landmark_image(head, Framing.CLOSE_UP, size))
    assert image.size == size
    for (x, y), colour in zip(landmarks(head, Framing.CLOSE_UP, size), COLOURS, strict=True):
        assert image.getpixel((round(x), round(y))) == colour
        assert image.getpixel((round(x), round(y) + 13)) != colour


def test_eyes_and_mouth_are_joined_to_the_nose_in_their_dimmed_colours() -> None:
    points = [(40.0, 40.0), (160.0, 40.0), (100.0, 100.0), (60.0, 160.0), (140.0, 160.0)]
    image = pixels(drawn_points(points, (200, 200)))
    for at in (0, 1, 3, 4):
        middle = (round(points[at][0] + 100) // 2, round(points[at][1] + 100) // 2)
        assert image.getpixel(middle) == tuple(int(0.6 * part) for part in COLOURS[at])
    assert image.getpixel((100, 40)) == (0, 0, 0)


def test_limbs_are_thickest_in_their_middle() -> None:
    points = [(20.0, 100.0), (180.0, 20.0), (180.0, 100.0), (180.0, 180.0), (20.0, 180.0)]
    column = pixels(drawn_points(points, (200, 200))).crop((100, 90, 101, 111))
    assert sum(column.getpixel((0, y)) != (0, 0, 0) for y in range(21)) in (8, 9)


@pytest.mark.parametrize(("head", "framing", "size"), [*product(HEADS, Framing, SIZES)])
def test_the_whole_head_is_inside_the_picture(
    head: Head, framing: Framing, size: tuple[int, int]
) -> None:
    left, top, right, bottom = placed_pose(head, framing, size).outline()
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]


@pytest.mark.parametrize(("framing", "size"), [*product(Framing, SIZES)])
def test_a_face_is_drawn_as_large_as_its_framing_is_judged_by(
    framing: Framing, size: tuple[int, int]
) -> None:
    high = round(placed_pose(Head(), framing, size).eye_distance * FACE_HEIGHT)
    assert framing_of(Box(10, 10, high, high), size) is framing


def test_framings_are_drawn_in_the_order_of_their_names() -> None:
    assert [*FACE_SHARE] == [*Framing]
    assert sorted(FACE_SHARE.values(), reverse=True) == [*FACE_SHARE.values()]


@pytest.mark.parametrize("head", HEADS[:2])
def test_what_is_drawn_measures_as_asked(head: Head) -> None:
    found = measured_head(landmarks(head, Framing.HALF, (1024, 1024)))
    assert (found.yaw, found.pitch) == pytest.approx((head.yaw, head.pitch), abs=1)


def test_landmarks_are_fitted_to_a_face_that_was_found() -> None:
    box = Box(300, 200, 180, 240)
    points = fitted_landmarks(Head(30), box)
    eyes = five_points(Head(30))
    assert math.dist(points[0], points[1]) == pytest.approx(
        math.dist(eyes[0], eyes[1]) * 240 / FACE_HEIGHT
    )
    for x, y in points:
        assert box.x < x < box.right
        assert box.y < y < box.bottom


def test_the_same_request_draws_the_same_bytes() -> None:
    one, other = (landmark_image(Head(30), Framing.FULL, (832, 1216)) for _ in range(2))
    assert one == other

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import NoFace
from handlers.faces.boxes import Box, Face, choose, crop_box

LARGE = Face(Box(0, 0, 90, 120), 0.8, (1.0, 0.0), ())
SMALL = replace(LARGE, box=Box(200, 0, 40, 50))


@st.composite
def faces_in_pictures(draw: st.DrawFn) -> tuple[Box, tuple[int, int]]:
    width, height = draw(st.integers(1, 3000)), draw(st.integers(1, 3000))
    x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    box = Box(x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y)))
    return box, (width, height)


@given(faces_in_pictures(), st.floats(1, 4))
def test_a_crop_lies_in_the_picture_and_contains_the_face(
    placed: tuple[Box, tuple[int, int]], padding: float
) -> None:
    face, (width, height) = placed
    crop = crop_box(face, (width, height), padding)
    assert 0 <= crop.x <= face.x < face.right <= crop.right <= width
    assert 0 <= crop.y <= face.y < face.bottom <= crop.bottom <= height


@given(faces_in_pictures(), st.floats(1, 4))
def test_a_crop_is_square_whenever_a_square_can_hold_the_face(
    placed: tuple[Box, tuple[int, int]], padding: float
) -> None:
    face, size = placed
    crop = crop_box(face, size, padding)
    longest = max(face.width, face.height)
    if longest <= min(size):
        assert crop.width == crop.height <= max(longest, padding * longest + 1)
    else:
        assert (min(crop.width, crop.height), max(crop.width, crop.height)) == (min(size), longest)


def test_a_crop_has_the_face_in_its_middle_where_there_is_room() -> None:
    assert crop_box(Box(400, 300, 100, 160), (1024, 1024), 1.5) == Box(330, 260, 240, 240)


def test_a_crop_at_the_edge_is_moved_inside_and_keeps_its_size() -> None:
    assert crop_box(Box(0, 900, 100, 124), (1024, 1024), 2.0) == Box(0, 776, 248, 248)


def test_a_crop_of_a_face_that_fills_the_picture_is_the_picture() -> None:
    assert crop_box(Box(10, 10, 480, 490), (512, 512), 1.8) == Box(0, 0, 512, 512)


def test_the_largest_face_is_chosen_unless_an_index_says_otherwise() -> None:
    assert choose([LARGE, SMALL]) is LARGE
    assert choose([LARGE, SMALL], 0) is LARGE
    assert choose([LARGE, SMALL], 1) is SMALL


@pytest.mark.parametrize("index", [None, 0, 1])
def test_no_face_at_all_is_an_error(index: int | None) -> None:
    with pytest.raises(NoFace, match="no face was found"):
        choose([], index)


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_beyond_the_faces_says_how_many_there_are(index: int) -> None:
    with pytest.raises(NoFace, match=r"has 2 face\(s\)") as caught:
        choose([LARGE, SMALL], index)
    assert (caught.value.field, caught.value.value) == ("face_index", index)

import pytest

from handlers.faces.boxes import Box, Embedding, Face
from handlers.faces.head import Head, five_points
from handlers.faces.profiles import Side, frontal, profile_side, profiles


def face(
    yaw: float, embedding: Embedding = (1.0, 0.0), side: int = 200, shown: float = 1.0
) -> Face:
    points = tuple((300 + 60 * x, 300 + 60 * y) for x, y in five_points(Head(yaw)))
    return Face(Box(200, 200, side, side), 0.9, embedding, points, shown)


@pytest.mark.parametrize(
    ("yaw", "side"),
    [(0, None), (45, None), (-45, None), (55, Side.RIGHT), (-55, Side.LEFT), (-85, Side.LEFT)],
)
def test_a_face_is_in_profile_from_fifty_degrees(yaw: float, side: Side | None) -> None:
    assert profile_side(face(yaw)) is side


def test_references_from_the_front_are_all_but_profiles() -> None:
    assert frontal([face(80), face(0), None, face(-47)]) == [1, 2, 3]


def test_profiles_alone_serve_as_any_others() -> None:
    assert frontal([face(80), face(-80)]) == [0, 1]


def test_profiles_are_told_apart_by_side() -> None:
    left, right = face(-70, (0.0, 1.0)), face(70, (0.6, 0.8))
    assert profiles([face(0), left, right]) == {Side.LEFT: [(0.0, 1.0)], Side.RIGHT: [(0.6, 0.8)]}
    assert [*profiles([face(0), left])] == [Side.LEFT]


def test_a_profile_that_is_small_or_cut_is_compared_with_nothing() -> None:
    assert profiles([face(70, side=30), face(70, shown=0.5)]) == {}

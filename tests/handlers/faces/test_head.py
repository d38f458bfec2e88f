import random

import pytest

from handlers.faces.head import (
    POINTS,
    Head,
    Pose,
    five_points,
    measured_head,
    measured_pose,
    outline,
)

GRID = [
    Head(yaw, pitch, roll)
    for yaw in (-75, -45, -20, 0, 30, 60)
    for pitch in (-40, -10, 0, 25)
    for roll in (-40, 0, 15)
]


def in_picture(head: Head) -> list[tuple[float, float]]:
    return [(400 + 80 * x, 300 + 80 * y) for x, y in five_points(head)]


@pytest.mark.parametrize("head", GRID)
def test_a_head_is_read_back_from_its_own_points(head: Head) -> None:
    found = measured_head(in_picture(head))
    off = (found.yaw - head.yaw, found.pitch - head.pitch, found.roll - head.roll)
    assert max(map(abs, off)) <= 1.5


@pytest.mark.parametrize("head", GRID[::5])
def test_a_mirrored_picture_shows_the_mirrored_head(head: Head) -> None:
    left, right, nose, mouth_left, mouth_right = [(800 - x, y) for x, y in in_picture(head)]
    found = measured_head([right, left, nose, mouth_right, mouth_left])
    expected = Head(-head.yaw, head.pitch, -head.roll)
    assert (found.yaw, found.pitch, found.roll) == pytest.approx(
        (expected.yaw, expected.pitch, expected.roll), abs=1.5
    )


@pytest.mark.parametrize("head", [Head(), Head(30), Head(-45, 20), Head(10, -20)])
def test_a_broad_smile_is_not_taken_for_a_head_turned_down(head: Head) -> None:
    pose = measured_pose(five_points(head, smile=1))
    found = pose.head
    assert pose.smile == pytest.approx(1, abs=0.1)
    assert (found.yaw, found.pitch) == pytest.approx((head.yaw, head.pitch), abs=1.5)


def test_a_smiling_official_portrait_looks_at_the_viewer() -> None:
    """MTCNN's points of NASA's portrait of E. Collins."""
    found = measured_head([(205, 100), (247, 103), (225, 129), (201, 139), (245, 142)])
    assert found.yaw == pytest.approx(0, abs=5)
    assert found.pitch == pytest.approx(0, abs=15)


def test_in_a_full_profile_nod_and_lean_are_told_as_nod() -> None:
    nodded, leant = (
        measured_head(five_points(Head(90, 20))),
        measured_head(five_points(Head(90, 0, -20))),
    )
    for found in (nodded, leant):
        assert (found.yaw, found.pitch, found.roll) == pytest.approx((90, 20, 0), abs=1)


def test_a_face_turned_to_the_right_has_its_nose_there_and_one_turned_up_has_it_higher() -> None:
    front, right, up = (five_points(head)[2] for head in (Head(), Head(yaw=30), Head(pitch=20)))
    assert right[0] > front[0] + 0.2
    assert up[1] < front[1] - 0.1


def test_a_head_that_leans_to_the_right_has_its_right_eye_lower() -> None:
    left, right, *_ = five_points(Head(roll=20))
    assert right[1] > left[1]


def test_place_and_size_are_read_back_too() -> None:
    pose = measured_pose(in_picture(Head(30, 10, 5)))
    assert pose.middle == pytest.approx((400, 300), abs=1)
    assert pose.eye_distance == pytest.approx(80, rel=0.01)


def test_points_that_are_a_little_off_measure_a_little_off() -> None:
    chance = random.Random(1)
    offs = []
    for _ in range(15):
        points = [(chance.gauss(x, 0.02), chance.gauss(y, 0.02)) for x, y in five_points(Head(30))]
        offs.append(abs(measured_head(points).yaw - 30))
    assert sum(offs) / len(offs) < 2.5


def test_angles_beyond_a_limit_are_told_as_the_limit() -> None:
    upside_down = [(-x, -y) for x, y in five_points(Head())]
    assert abs(measured_head(upside_down).roll) == 45


@pytest.mark.parametrize(
    ("angle", "value"), [("yaw", 91), ("pitch", -46), ("roll", 45.5), ("yaw", float("nan"))]
)
def test_an_angle_outside_its_range_is_refused_by_name(angle: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{angle} must be from"):
        Head(**{angle: value})


@pytest.mark.parametrize("points", [[], [(1.0, 1.0)] * 5, [(0.0, 0.0), (1.0, 0.0)] * 2])
def test_what_are_not_five_points_of_a_face_is_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="not 5 points of a face"):
        measured_head(points)


@pytest.mark.parametrize("head", GRID[::5])
def test_the_outline_holds_all_points_of_the_face(head: Head) -> None:
    left, top, right, bottom = outline(head)
    for x, y in five_points(head):
        assert left <= x <= right
        assert top <= y <= bottom


def test_the_back_of_a_head_in_profile_lies_on_the_other_side() -> None:
    left, _, right, _ = outline(Head(90))
    assert -left > 2 * right


def test_the_outline_of_a_placed_head_is_in_pixels() -> None:
    assert Pose(Head(), (100, 100), 10).outline() == pytest.approx((87, 79.5, 113, 118.5))


def test_the_head_is_the_same_on_both_sides() -> None:
    left_eye, right_eye, nose, left_mouth, right_mouth = POINTS
    assert [-left_eye[0], -left_mouth[0], nose[0]] == [right_eye[0], right_mouth[0], 0]

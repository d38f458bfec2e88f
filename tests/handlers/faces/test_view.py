from dataclasses import replace

import pytest

from handlers.faces.boxes import Box, Face
from handlers.faces.head import Head, projected
from handlers.faces.landmark_image import FACE_HEIGHT, FACE_MIDDLE, landmarks, placed_pose
from handlers.faces.view import (
    AskedView,
    Framing,
    ViewReason,
    ViewVerdict,
    framing_of,
    judge_view,
    yaw_fits,
)

SIZE = (832, 1216)


def seen(head: Head, framing: Framing = Framing.CLOSE_UP, size: tuple[int, int] = SIZE) -> Face:
    """A face as a detector finds it in a picture that was made as asked."""
    pose = placed_pose(head, framing, size)
    high = pose.eye_distance * FACE_HEIGHT
    ((x, y),) = pose.placed([projected(FACE_MIDDLE, head)])
    box = Box(round(x - high * 0.4), round(y - high * 0.5), round(high * 0.8), round(high))
    return Face(box, 0.99, (1.0, 0.0), landmarks(head, framing, size))


def judged(asked: Head, shown: Head, framing: Framing | None = None) -> ViewVerdict:
    return judge_view(AskedView(asked, framing), [seen(shown)], SIZE)


@pytest.mark.parametrize(
    "head", [Head(), Head(-35), Head(35), Head(0, 25), Head(0, -25), Head(20, 15, 10), Head(-75)]
)
def test_a_picture_that_is_as_asked_passes(head: Head) -> None:
    verdict = judged(head, head, Framing.CLOSE_UP)
    assert (verdict.ok, verdict.reason, verdict.framing) == (True, None, Framing.CLOSE_UP)
    assert verdict.measured is not None
    assert verdict.measured.yaw == pytest.approx(head.yaw, abs=1)
    assert not verdict.wrong


@pytest.mark.parametrize(
    ("asked", "shown", "reason"),
    [
        (Head(-35), Head(35), ViewReason.WRONG_YAW),
        (Head(35), Head(0), ViewReason.WRONG_YAW),
        (Head(0), Head(30), ViewReason.WRONG_YAW),
        (Head(35), Head(70), ViewReason.WRONG_YAW),
        (Head(80), Head(35), ViewReason.WRONG_YAW),
        (Head(0, 25), Head(0, -10), ViewReason.WRONG_PITCH),
        (Head(0, 0), Head(0, 30), ViewReason.WRONG_PITCH),
        (Head(0, 0), Head(0, 0, 30), ViewReason.WRONG_ROLL),
    ],
)
def test_a_head_that_is_turned_otherwise_is_a_wrong_view(
    asked: Head, shown: Head, reason: ViewReason
) -> None:
    verdict = judged(asked, shown)
    assert (verdict.ok, verdict.reason) == (False, reason)
    assert verdict.wrong


@pytest.mark.parametrize(
    ("asked", "measured", "fits"),
    [
        (0, 15, True),
        (0, -16, False),
        (20, 8, True),
        (20, 7, False),
        (45, 26, True),
        (45, 66, False),
        (-45, -26, True),
        (90, 50, True),
        (90, 49, False),
        (-90, 60, False),
        (60, 90, True),
    ],
)
def test_yaw_is_judged_by_side_and_band(asked: float, measured: float, fits: bool) -> None:
    assert yaw_fits(asked, measured) is fits


def test_of_a_profile_only_the_side_is_judged() -> None:
    assert judged(Head(80), Head(65, 30)).ok


def test_a_profile_without_a_found_face_is_unmeasured_and_no_miss() -> None:
    verdict = judge_view(AskedView(Head(-90)), [], SIZE)
    assert (verdict.ok, verdict.reason, verdict.measured) == (None, ViewReason.UNMEASURED, None)
    assert not verdict.wrong


def test_any_other_view_without_a_face_is_a_miss() -> None:
    verdict = judge_view(AskedView(Head(30)), [], SIZE)
    assert (verdict.ok, verdict.reason) == (False, ViewReason.NO_FACE)


def test_a_view_from_behind_must_show_no_face() -> None:
    behind = AskedView(None)
    assert judge_view(behind, [], SIZE) == ViewVerdict(behind, ok=True)
    shown = judge_view(behind, [seen(Head())], SIZE)
    assert (shown.ok, shown.reason) == (False, ViewReason.FACE_SHOWN)


def test_a_second_face_of_about_the_same_size_is_another_person() -> None:
    face = seen(Head())
    small = replace(face, box=replace(face.box, height=face.box.height // 2))
    asked = AskedView(Head())
    assert judge_view(asked, [face, small], SIZE).ok
    assert judge_view(asked, [face, face], SIZE).reason is ViewReason.SEVERAL_FACES
    assert judge_view(asked, [small, face], SIZE, subject=face).ok


@pytest.mark.parametrize("framing", [*Framing])
@pytest.mark.parametrize("asked", [*Framing])
def test_framing_is_judged_by_the_height_of_the_face(asked: Framing, framing: Framing) -> None:
    verdict = judge_view(AskedView(Head(), asked), [seen(Head(), framing)], SIZE)
    assert verdict.framing is framing
    assert verdict.reason is (None if asked is framing else ViewReason.WRONG_FRAMING)


def test_a_framing_that_nobody_asked_for_is_measured_only() -> None:
    verdict = judge_view(AskedView(Head()), [seen(Head(), Framing.FULL)], SIZE)
    assert (verdict.ok, verdict.framing) == (True, Framing.FULL)


def test_a_very_tall_picture_counts_as_a_less_tall_one() -> None:
    box = Box(10, 10, 200, 250)
    assert framing_of(box, (512, 768)) is framing_of(box, (512, 2048)) is Framing.CLOSE_UP


@pytest.mark.parametrize("shift", [(0, -200), (-330, 0), (330, 0)])
def test_a_head_that_reaches_over_the_edge_is_cut(shift: tuple[int, int]) -> None:
    face, (right, down) = seen(Head()), shift
    moved = replace(
        face,
        box=replace(face.box, x=face.box.x + right, y=face.box.y + down),
        landmarks=tuple((x + right, y + down) for x, y in face.landmarks),
    )
    assert judge_view(AskedView(Head()), [moved], SIZE).reason is ViewReason.HEAD_CUT


def test_a_face_at_the_very_edge_is_cut() -> None:
    face = seen(Head())
    at_edge = replace(face, box=replace(face.box, x=0))
    assert judge_view(AskedView(Head()), [at_edge], SIZE).reason is ViewReason.HEAD_CUT

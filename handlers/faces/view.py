"""Whether a picture shows a head as it was asked for: its angles, its framing, all of it. Pure.

docs/faces.md says the rules, and which of the bounds were measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from handlers.faces.boxes import Box, Face
from handlers.faces.head import Head, Pose, measured_pose

FRONT_TO, PROFILE_FROM = 15.0, 60.0
"""Degrees of yaw to either side: below the one a head counts as frontal, from the other on as a
profile, between them as turned."""
YAW_OFF, PITCH_OFF, ROLL_OFF = 20.0, 20.0, 15.0
"""Degrees that a head may differ from what was asked."""
LEAST_TURN = 8.0
"""Degrees that a head which was asked to turn or nod must at least be turned, to the right side."""
LEAST_PROFILE = 50.0
"""Degrees from which a face passes for a profile: detectors put the hidden eye too far out."""
IDENTITY_TO = 45.0
"""Degrees of yaw to either side within which a face's identity is judged."""
LEAST_FACE = 40
"""Pixels of a face's shorter side from which its identity is judged."""
HALF_FROM, CLOSE_UP_FROM = 0.12, 0.27
"""Shares of the picture's height at which a face makes it a half and a close-up picture."""
SECOND_FACE = 0.6
"""A second face that is so high, of the largest one's height, is another person."""
CUT = 0.06
"""Of the head's height, that may lie beyond the picture's edge: how far its outline is a guess."""

TALL = 1.5
"""A picture higher than so many widths is taken for one that is not: faces are sized by that."""


class Framing(StrEnum):
    """How much of the person is to be seen."""

    CLOSE_UP = "close-up"
    """Head and shoulders."""
    HALF = "half"
    """Down to the waist."""
    FULL = "full"
    """The whole body."""


class ViewReason(StrEnum):
    """Why a view is wrong, or was not judged."""

    NO_FACE = "no_face"
    FACE_SHOWN = "face_shown"
    """In a picture from behind."""
    SEVERAL_FACES = "several_faces"
    WRONG_YAW = "wrong_yaw"
    WRONG_PITCH = "wrong_pitch"
    WRONG_ROLL = "wrong_roll"
    WRONG_FRAMING = "wrong_framing"
    HEAD_CUT = "head_cut"
    UNMEASURED = "unmeasured"
    """A profile in which no face was found: detectors miss many. No miss, and no retry."""
    FACE_MODELS_MISSING = "face_models_missing"


@dataclass(frozen=True)
class AskedView:
    head: Head | None
    """None is the view from behind."""
    framing: Framing | None = None
    """None takes any."""


@dataclass(frozen=True)
class ViewVerdict:
    asked: AskedView
    measured: Head | None = None
    """None without a face."""
    framing: Framing | None = None
    """As measured."""
    ok: bool | None = None
    """None where it could not be judged."""
    reason: ViewReason | None = None
    """Set unless it is ok."""

    @property
    def wrong(self) -> bool:
        """Whether another try is due: what was not judged is not wrong."""
        return self.ok is False


def judge_view(
    asked: AskedView, faces: Sequence[Face], size: tuple[int, int], subject: Face | None = None
) -> ViewVerdict:
    """Judge the faces found in a picture of this width and height in pixels, largest first.

    `subject` is the face that is meant, if it is not the largest; others are then not looked at.
    """
    if asked.head is None:
        reason = ViewReason.FACE_SHOWN if faces else None
        return ViewVerdict(asked, ok=not faces, reason=reason)
    if not faces:
        profile = abs(asked.head.yaw) >= PROFILE_FROM
        reason = ViewReason.UNMEASURED if profile else ViewReason.NO_FACE
        return ViewVerdict(asked, ok=None if profile else False, reason=reason)
    face = subject or faces[0]
    pose, framing = measured_pose(face.landmarks), framing_of(face.box, size)
    crowd = subject is None and len(faces) > 1
    if crowd and faces[1].box.height >= SECOND_FACE * face.box.height:
        reason = ViewReason.SEVERAL_FACES
    elif wrong := wrong_angle(asked.head, pose.head):
        reason = wrong
    elif asked.framing not in (None, framing):
        reason = ViewReason.WRONG_FRAMING
    else:
        reason = ViewReason.HEAD_CUT if head_is_cut(pose, face.box, size) else None
    return ViewVerdict(asked, pose.head, framing, reason is None, reason)


def wrong_angle(asked: Head, measured: Head) -> ViewReason | None:
    """The first angle that is not as asked. Of a profile only the side is told."""
    if not yaw_fits(asked.yaw, measured.yaw):
        return ViewReason.WRONG_YAW
    if abs(asked.yaw) >= PROFILE_FROM:
        return None
    if not _fits(asked.pitch, measured.pitch, PITCH_OFF):
        return ViewReason.WRONG_PITCH
    return None if abs(measured.roll - asked.roll) <= ROLL_OFF else ViewReason.WRONG_ROLL


def yaw_fits(asked: float, measured: float) -> bool:
    """Side and band: a frontal head stays frontal, a turned one is about as turned as asked, and a
    profile is at least nearly one."""
    if abs(asked) >= PROFILE_FROM:
        return measured * asked > 0 and abs(measured) >= LEAST_PROFILE
    if abs(asked) < FRONT_TO:
        return abs(measured - asked) <= FRONT_TO
    return _fits(asked, measured, YAW_OFF)


def _fits(asked: float, measured: float, off: float) -> bool:
    turned = abs(asked) < FRONT_TO or (measured * asked > 0 and abs(measured) >= LEAST_TURN)
    return turned and abs(measured - asked) <= off


def framing_of(face: Box, size: tuple[int, int]) -> Framing:
    """By the face's height alone."""
    share = face.height / reference_height(size)
    if share >= CLOSE_UP_FROM:
        return Framing.CLOSE_UP
    return Framing.HALF if share >= HALF_FROM else Framing.FULL


def reference_height(size: tuple[int, int]) -> float:
    """Pixels that the share of a face is taken of."""
    width, height = size
    return min(height, TALL * width)


def head_is_cut(pose: Pose, face: Box, size: tuple[int, int]) -> bool:
    """Whether the face touches the picture's edge, or the head around it reaches over."""
    width, height = size
    if face.x <= 0 or face.y <= 0 or face.right >= width or face.bottom >= height:
        return True
    left, top, right, bottom = pose.outline()
    spare = CUT * (bottom - top)
    return min(left, top, width - right, height - bottom) < -spare

"""Faces seen from the side: which references show one, and of which side. Pure.

A face in profile does not compare with one from the front, but it does with one from the same side.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from handlers.faces.boxes import Embedding, Face
from handlers.faces.head import measured_head
from handlers.faces.match import Reason
from handlers.faces.quality import flaw
from handlers.faces.view import LEAST_PROFILE


class Side(StrEnum):
    """Of the picture, to which a face is turned."""

    LEFT = "left"
    RIGHT = "right"


def profile_side(face: Face) -> Side | None:
    """None for a face that is turned by less than `LEAST_PROFILE` degrees."""
    yaw = measured_head(face.landmarks).yaw
    if abs(yaw) < LEAST_PROFILE:
        return None
    return Side.LEFT if yaw < 0 else Side.RIGHT


def frontal(faces: Sequence[Face | None]) -> list[int]:
    """Places of the references that say who a face from the front is: all but profiles, or all
    where each is one. A picture that nobody looked at (None) is taken for one from the front."""
    others = [at for at, face in enumerate(faces) if face is None or profile_side(face) is None]
    return others or [*range(len(faces))]


def profiles(faces: Sequence[Face]) -> Mapping[Side, Sequence[Embedding]]:
    """References in profile, by side; without those that are too small or cut."""
    turned = [face for face in faces if flaw(face) is Reason.FACE_TURNED]
    found = {
        side: [each.embedding for each in turned if profile_side(each) is side] for side in Side
    }
    return {side: embeddings for side, embeddings in found.items() if embeddings}

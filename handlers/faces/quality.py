"""Whether a face can be told from others at all: else a reason stands where a number would. Pure.

docs/faces.md says how similarity falls with size; what is shown of a face was measured with it.
"""

from collections.abc import Sequence

from handlers.faces.boxes import Face
from handlers.faces.head import measured_head
from handlers.faces.match import Reason
from handlers.faces.view import IDENTITY_TO, LEAST_FACE

LEAST_SHOWN = 0.75
"""Share of the face, from brows to chin, that must lie in the picture. With less, the same picture
uncut is 0.93 to 0.98 alike by the embedded model: as far away as other pictures of the person."""

ALIKE = 0.9
"""Of the largest face's height: another detector might take this one for the largest. Chosen."""


def flaw(face: Face) -> Reason | None:
    """Why similarity says nothing of this face."""
    if min(face.box.width, face.box.height) < LEAST_FACE:
        return Reason.FACE_TOO_SMALL
    if face.shown < LEAST_SHOWN:
        return Reason.FACE_CUT
    if abs(measured_head(face.landmarks).yaw) > IDENTITY_TO:
        return Reason.FACE_TURNED
    return None


def is_crowd(faces: Sequence[Face]) -> bool:
    """Whether the second of the faces, largest first, could be meant as well as the first."""
    return len(faces) > 1 and faces[1].box.height >= ALIKE * faces[0].box.height

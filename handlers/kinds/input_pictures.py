"""Pictures that a job puts among ComfyUI's inputs: its references, and the head it asks for."""

import hashlib
from collections.abc import Sequence

from handlers.faces.boxes import Box, Face
from handlers.faces.head import Head
from handlers.faces.landmark_image import drawn_points, fitted_landmarks, landmark_image
from handlers.faces.references import Reference
from handlers.faces.view import Framing
from handlers.kinds.base import GraphRunner
from handlers.kinds.instantid_input import InstantIdInput
from handlers.media import png
from workflows.instantid import SIDE, Crop, work_size

NOT_UPLOADED = "reference.png"
"""Stands for the reference in graphs that are only judged."""


def upload_all(
    references: Sequence[Reference], faces: Sequence[Face | None], runner: GraphRunner
) -> tuple[str, ...]:
    """Their names for ComfyUI. The faces are those that were found in them."""
    from handlers.faces.reference_pictures import prepared

    pictures = prepared(references, faces)
    return tuple(runner.upload(body, input_name(body)) for body in pictures)


def uploaded_landmarks(request: InstantIdInput, runner: GraphRunner) -> str:
    """The head that was asked for, drawn for InstantID; a name that stands for nothing else."""
    if request.head is None:
        return NOT_UPLOADED
    framing, size = request.framing or Framing.CLOSE_UP, (request.width, request.height)
    drawn = landmark_image(request.head.head, framing, size)
    return runner.upload(drawn, input_name(drawn))


def uploaded_face_landmarks(
    head: Head, face: Box, crop: Box, runner: GraphRunner, side: int = SIDE
) -> str:
    """A head for a face pass, drawn where the face was found in what was composed.

    Both boxes are pixels of the composition; `side` is the crop's longer side as SDXL works on it.
    """
    size = work_size(Crop(crop.x, crop.y, crop.width, crop.height), side)
    across, down = size[0] / crop.width, size[1] / crop.height
    points = fitted_landmarks(head, face)
    drawn = drawn_points([((x - crop.x) * across, (y - crop.y) * down) for x, y in points], size)
    return runner.upload(drawn, input_name(drawn))


def input_name(body: bytes) -> str:
    """A name for ComfyUI's input folder that no other picture has."""
    extension = "png" if body.startswith(png.SIGNATURE) else "jpg"
    return f"ryla-{hashlib.sha256(body).hexdigest()[:32]}.{extension}"

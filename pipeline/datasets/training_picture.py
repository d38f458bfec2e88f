"""A picture as trainers take it: PNG or JPEG, with sides that they need not cut. Pure."""

import io
from dataclasses import dataclass

from PIL import Image

from config.errors import OutputInvalid
from handlers.media.formats import format_of
from handlers.media.images import FORMATS, finish
from handlers.media.pixels import UNREADABLE
from pipeline.datasets.layout import SIDE_STEP

_EXTENSIONS = {"PNG": "png", "JPEG": "jpg"}


@dataclass(frozen=True)
class TrainingPicture:
    body: bytes
    extension: str
    """Without a dot."""
    width: int
    """Pixels, as is `height`."""
    height: int


def training_picture(view: str, body: bytes, job_id: str) -> TrainingPicture:
    """WebP, with which ai-toolkit "currently has issues", becomes PNG; any other picture keeps its
    bytes. Raises OutputInvalid, which names the view."""
    found = format_of(body)
    if found is not None and found.name == "WebP":
        return training_picture(view, _as_png(view, body, job_id), job_id)
    extension = None if found is None else _EXTENSIONS.get(found.name)
    if extension is None:
        raise _untrainable(view, "it is neither PNG nor JPEG")
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            width, height = image.size
    except UNREADABLE:
        raise _untrainable(view, "it is damaged or cut off") from None
    if width % SIDE_STEP or height % SIDE_STEP:
        why = f"of {width}x{height} not both sides are multiples of {SIDE_STEP}"
        raise _untrainable(view, why)
    return TrainingPicture(body, extension, width, height)


def _as_png(view: str, body: bytes, job_id: str) -> bytes:
    try:
        return finish(body, fmt="png", job_id=job_id).body
    except OutputInvalid:
        raise _untrainable(view, "it is damaged or cut off") from None


def _untrainable(view: str, why: str) -> OutputInvalid:
    return OutputInvalid(
        f"{view} cannot be trained on: {why}",
        field="view",
        value=view,
        hint=f"Make it again, or leave it out: reject {view} in a review.",
    )

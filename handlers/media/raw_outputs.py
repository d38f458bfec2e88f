"""What a caller's graph saved, whatever it is: still pictures are checked and finished like any
other, animations and videos are delivered as they are."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

from PIL import Image, UnidentifiedImageError

from config.errors import OutputInvalid
from handlers.kinds.base import OutputFormat
from handlers.media import images
from handlers.media.images import Finished

_PICTURES: Mapping[str, OutputFormat] = MappingProxyType(
    {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
)
_VIDEOS: Mapping[str, tuple[int, bytes]] = MappingProxyType(
    {".mp4": (4, b"ftyp"), ".webm": (0, b"\x1a\x45\xdf\xa3")}
)
"""Ending → where in the file its mark stands, and the mark."""


def finish(body: bytes, filename: str, *, fmt: OutputFormat | None, job_id: str) -> Finished:
    """The file as it is delivered; `fmt` is what still pictures are converted to.

    Raises OutputInvalid, also for a kind of file that is not known.
    """
    ending = PurePosixPath(filename).suffix.lower()
    if ending in _VIDEOS:
        at, mark = _VIDEOS[ending]
        if not body.startswith(mark, at):
            raise OutputInvalid(f"{filename} is no {ending[1:]}", value=filename)
        return _as_it_is(body, ending, f"video/{ending[1:]}", (None, None))
    if ending not in _PICTURES:
        raise OutputInvalid(
            f"{filename} is of a kind that is not delivered",
            value=filename,
            hint=f"Known are {', '.join((*_PICTURES, *_VIDEOS))}.",
        )
    own = _PICTURES[ending]
    size = _size_if_animated(body, filename)
    if size is not None:
        return _as_it_is(body, f".{images.EXTENSION[own]}", f"image/{own}", size)
    return images.finish(body, fmt=fmt or own, job_id=job_id)


def _size_if_animated(body: bytes, filename: str) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(body), formats=images.FORMATS) as image:
            return image.size if getattr(image, "is_animated", False) else None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise OutputInvalid(f"{filename} is no picture", value=filename) from None


def _as_it_is(
    body: bytes, ending: str, content_type: str, size: tuple[int | None, int | None]
) -> Finished:
    return Finished(
        body=body,
        width=size[0],
        height=size[1],
        sha256=hashlib.sha256(body).hexdigest(),
        content_type=content_type,
        extension=ending[1:],
    )

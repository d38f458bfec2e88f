"""Pictures of this machine, in a form that travels in a request."""

import base64
import os
from pathlib import Path

_TYPES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}


def picture(path: str | os.PathLike[str]) -> str:
    """The file as a data URL, for `reference_image` and the like. Raises OSError, ValueError."""
    body = Path(path).read_bytes()
    kind = next((kind for head, kind in _TYPES.items() if body.startswith(head)), None)
    if kind is None:
        raise ValueError(f"{os.fspath(path)} is no PNG, JPEG or WebP picture")
    return f"data:image/{kind};base64,{base64.b64encode(body).decode()}"

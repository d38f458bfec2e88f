"""Photographs that ship with pinned packages, and what tests do to them."""

import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from pipeline.local.demo.face import drawn as drawn_sitter

__all__ = ["astronaut", "drawn_sitter", "png"]


@cache
def _astronaut() -> Image.Image:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        pytest.skip("scikit-image is not installed: install the extra `faces`")
    with Image.open(Path(spec.origin).parent / "data" / "astronaut.png") as image:
        return image.convert("RGB")


def astronaut() -> Image.Image:
    """512 x 512: Eileen Collins, by NASA and in the public domain; a face of 89 x 113 at
    (179, 59)."""
    return _astronaut().copy()


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()

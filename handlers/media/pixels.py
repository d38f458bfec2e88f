"""Decoded pictures in the form that all else takes: 8-bit RGB or RGBA, written without metadata."""

import io
import struct
import zlib
from typing import Literal

from PIL import Image

from handlers.media import png

FileType = Literal["png", "jpeg", "webp"]
"""Of pictures that are written."""

EXTENSION: dict[FileType, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}

# Everything that Pillow has been seen to raise on hostile bytes, and their kin.
UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)


def encode(image: Image.Image, fmt: FileType, xmp: bytes | None) -> bytes:
    """8-bit RGB(A) in the format, with no metadata but the colour profile and this packet."""
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
    plain = eight_bit(image)
    if fmt == "jpeg":
        plain = opaque(plain)
    plain.info = {}
    out = io.BytesIO()
    options = {"png": {"compress_level": 4}, "jpeg": {"quality": 95}, "webp": {"quality": 90}}
    extra = {} if xmp is None or fmt == "png" else {"xmp": xmp}
    plain.save(out, fmt.upper(), icc_profile=profile, **options[fmt], **extra)
    if fmt == "png" and xmp is not None:
        return png.join(png.with_xmp(png.chunks(out.getvalue()), xmp))
    return out.getvalue()


def eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey
        image = image.convert("I").point(lambda level: level / 256).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def opaque(image: Image.Image) -> Image.Image:
    """What shows through is white."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image).convert("RGB")

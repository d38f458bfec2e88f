"""Pictures at the edges: outputs are checked and finished, submitted ones are made harmless."""

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageOps

from config.errors import InvalidInput, OutputInvalid, RylaError
from handlers.kinds.base import OutputFormat
from handlers.media import png, provenance

MAX_PIXELS = 64 * 2**20
"""Declared pixels beyond which nothing is decoded: 200 MB of RGB."""
MAX_INTAKE_PIXELS = 32 * 2**20
"""Of a submitted picture, as is MAX_INTAKE_BYTES."""
MAX_INTAKE_BYTES = 32 * 2**20

FORMATS = ("PNG", "JPEG", "WEBP")

EXTENSION: dict[OutputFormat, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}

# Everything that Pillow has been seen to raise on hostile bytes, and their kin.
_UNREADABLE = (
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
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)


@dataclass(frozen=True)
class ImageInfo:
    """What a decoded picture turned out to be."""

    format: OutputFormat
    width: int
    height: int
    mode: str
    """Pillow's: RGB, RGBA, L, P, CMYK, …"""


@dataclass(frozen=True)
class Finished:
    """A picture as it is delivered."""

    body: bytes
    width: int | None
    """Pixels, as is `height`; None for a video."""
    height: int | None
    sha256: str
    """Of `body`, in hex."""
    content_type: str
    extension: str
    """Without a dot."""


def inspect(body: bytes, expect: tuple[int, int] | None = None) -> ImageInfo:
    """Decode an output to its last pixel. `expect` is width and height.

    Raises OutputInvalid, also for a size not expected.
    """
    with _readable(OutputInvalid):
        return _picture(_decode(body, MAX_PIXELS), expect)


def size(body: bytes) -> tuple[int, int]:
    """Width and height of a picture that intake has written."""
    with Image.open(io.BytesIO(body), formats=FORMATS) as image:
        return image.size


def finish(
    body: bytes,
    *,
    fmt: OutputFormat,
    job_id: str,
    prompt: str | None = None,
    expect: tuple[int, int] | None = None,
) -> Finished:
    """Check an output and make it what is delivered: format, provenance, nothing else inside.

    PNG to PNG keeps the compressed pixels as they are. Equal arguments give equal bytes. `expect`
    is width and height; `prompt` is written into the file, at most MAX_PROMPT characters of it.
    Raises OutputInvalid.
    """
    xmp = provenance.packet(job_id, prompt)
    with _readable(OutputInvalid):
        image = _decode(body, MAX_PIXELS)
        picture = _picture(image, expect)
        parts = tuple(png.chunks(body)) if picture.format == fmt == "png" else ()
        done = png.with_xmp(parts, xmp) if png.is_plain(parts) else _encode(image, fmt, xmp)
    return Finished(
        body=done,
        width=picture.width,
        height=picture.height,
        sha256=hashlib.sha256(done).hexdigest(),
        content_type=f"image/{fmt}",
        extension=EXTENSION[fmt],
    )


def intake(body: bytes) -> tuple[str, bytes]:
    """Extension and bytes of a submitted picture, decoded, turned upright and written anew.

    JPEG stays JPEG, all else becomes PNG. Nothing but pixels survives: no EXIF, no colour profile,
    no second file behind the first. Raises InvalidInput, also above MAX_INTAKE_BYTES or
    MAX_INTAKE_PIXELS.
    """
    if len(body) > MAX_INTAKE_BYTES:
        raise InvalidInput(
            f"the picture has {len(body)} bytes, more than {MAX_INTAKE_BYTES}",
            hint="Send a smaller picture.",
        )
    with _readable(InvalidInput):
        image = _decode(body, MAX_INTAKE_PIXELS)
        is_jpeg = image.format in ("JPEG", "MPO")
        upright = ImageOps.exif_transpose(image)
        upright.info.pop("icc_profile", None)
        fmt: OutputFormat = "jpeg" if is_jpeg else "png"
        return EXTENSION[fmt], _encode(upright, fmt, xmp=None)


def pixels(body: bytes) -> Image.Image:
    """Upright, 8-bit RGB: what networks look at, and what is drawn on. Raises InvalidInput."""
    with _readable(InvalidInput):
        image = Image.open(io.BytesIO(body), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels are too many")
        return _eight_bit(ImageOps.exif_transpose(image)).convert("RGB")


@contextmanager
def _readable(refusal: type[RylaError]) -> Iterator[None]:
    try:
        yield
    except RylaError:
        raise
    except _UNREADABLE as error:
        raise refusal(
            f"not a picture that can be read: {error}", hint="PNG, JPEG and WebP are read."
        ) from error


def _decode(body: bytes, max_pixels: int) -> Image.Image:
    """All pixels of the only frame. Raises one of _UNREADABLE."""
    if body.startswith(png.SIGNATURE):
        for _ in png.chunks(body):
            pass  # Pillow overlooks a missing end and the checksums of ancillary chunks
    image = Image.open(io.BytesIO(body), formats=FORMATS)
    if image.width * image.height > max_pixels:
        raise ValueError(
            f"{image.width} x {image.height} are more than {max_pixels // 2**20} Mi pixels"
        )
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ValueError("it is an animation")
    image.load()
    if image.mode == "P" and image.palette is None:
        raise ValueError("it has no palette")
    return image


def _picture(image: Image.Image, expect: tuple[int, int] | None) -> ImageInfo:
    if expect is not None and image.size != expect:
        raise OutputInvalid(
            f"the picture is {image.width} x {image.height}, not {expect[0]} x {expect[1]}",
            value=image.size,
        )
    formats: dict[str, OutputFormat] = {"PNG": "png", "WEBP": "webp"}
    return ImageInfo(formats.get(image.format or "", "jpeg"), image.width, image.height, image.mode)


def _encode(image: Image.Image, fmt: OutputFormat, xmp: bytes | None) -> bytes:
    """8-bit RGB(A) in the format, with no metadata but the colour profile and this packet."""
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
    plain = _eight_bit(image)
    if fmt == "jpeg":
        plain = _opaque(plain)
    plain.info = {}
    out = io.BytesIO()
    options = {"png": {"compress_level": 4}, "jpeg": {"quality": 95}, "webp": {"quality": 90}}
    extra = {} if xmp is None or fmt == "png" else {"xmp": xmp}
    plain.save(out, fmt.upper(), icc_profile=profile, **options[fmt], **extra)
    if fmt == "png" and xmp is not None:
        return png.with_xmp(png.chunks(out.getvalue()), xmp)
    return out.getvalue()


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey
        image = image.convert("I").point(lambda level: level / 256).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _opaque(image: Image.Image) -> Image.Image:
    """What shows through is white."""
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, image).convert("RGB")

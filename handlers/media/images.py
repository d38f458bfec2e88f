"""Pictures at the edges: outputs are checked and finished, submitted ones are made harmless."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from config.errors import InvalidInput, OutputInvalid, RylaError
from handlers.kinds.base import OutputFormat, Pixels
from handlers.media import png, png_strips, provenance
from handlers.media.pixels import EXTENSION, UNREADABLE, eight_bit, encode
from handlers.media.submitted import MAX_INTAKE_BYTES, intake

__all__ = [
    "EXTENSION",
    "FORMATS",
    "MAX_INTAKE_BYTES",
    "MAX_PIXELS",
    "Finished",
    "ImageInfo",
    "finish",
    "inspect",
    "intake",
]

MAX_PIXELS = 64 * 2**20
"""Declared pixels beyond which nothing is decoded: 200 MB of RGB."""

FORMATS = ("PNG", "JPEG", "WEBP")


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
    body: bytes | Pixels,
    *,
    fmt: OutputFormat,
    job_id: str,
    prompt: str | None = None,
    expect: tuple[int, int] | None = None,
) -> Finished:
    """Check an output and make it what is delivered: format, provenance, nothing else inside.

    PNG to PNG keeps the compressed pixels as they are. Equal arguments give equal bytes. `expect`
    is width and height; `prompt` is written into the file, at most MAX_PROMPT characters of it.
    Bare pixels are encoded once, as what is asked for.
    Raises OutputInvalid.
    """
    xmp = provenance.packet(job_id, prompt)
    digest, done = hashlib.sha256(), []
    with _readable(OutputInvalid):
        if isinstance(body, bytes):
            size, pieces = _of_file(body, fmt, xmp, expect)
        else:
            size, pieces = _of_pixels(body, fmt, xmp, expect)
        for piece in pieces:
            digest.update(piece)
            done.append(piece)
    return Finished(
        body=b"".join(done),
        width=size[0],
        height=size[1],
        sha256=digest.hexdigest(),
        content_type=f"image/{fmt}",
        extension=EXTENSION[fmt],
    )


Size = tuple[int, int]
"""Width and height."""


def _of_file(
    body: bytes, fmt: OutputFormat, xmp: bytes, expect: Size | None
) -> tuple[Size, Iterable[bytes]]:
    image = _decode(body, MAX_PIXELS)
    picture = _picture(image, expect)
    parts = tuple(png.chunks(body)) if picture.format == fmt == "png" else ()
    if png.is_plain(parts):
        return image.size, png.pieces(png.with_xmp(parts, xmp))
    return image.size, [encode(image, fmt, xmp)]


def _of_pixels(
    bare: Pixels, fmt: OutputFormat, xmp: bytes, expect: Size | None
) -> tuple[Size, Iterable[bytes]]:
    """The pieces of a PNG come while its other strips are still compressed."""
    size = (bare.width, bare.height)
    _require_size(size, expect)
    if fmt == "png":
        parts = png_strips.chunks(bare.rgb, *size, sha256=bare.sha256)
        return size, png.pieces(png.with_xmp(parts, xmp))
    png_strips.require_digest(bare.rgb, bare.sha256)
    image = Image.frombuffer("RGB", size, bare.rgb, "raw", "RGB", 0, 1)
    return size, [encode(image, fmt, xmp)]


class _Unfit(ValueError):
    """Whole, and still not what is wanted."""


def pixels(body: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Upright, 8-bit RGB: what networks look at, and what is drawn on. Raises InvalidInput."""
    with _readable(InvalidInput):
        image = Image.open(io.BytesIO(body), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise _Unfit(f"{image.width} x {image.height} pixels are too many")
        return eight_bit(ImageOps.exif_transpose(image)).convert("RGB")


@contextmanager
def _readable(refusal: type[RylaError]) -> Iterator[None]:
    try:
        yield
    except RylaError:
        raise
    except _Unfit as error:
        raise refusal(f"not a picture that is taken: {error}") from None
    except UnidentifiedImageError as error:
        raise refusal("not a picture that can be read: neither PNG, JPEG nor WebP") from error
    except UNREADABLE as error:
        # What Pillow said may hold addresses of this process.
        raise refusal("not a picture that can be read: it is damaged or cut off") from error


def _decode(body: bytes, max_pixels: int) -> Image.Image:
    """All pixels of the only frame. Raises one of UNREADABLE."""
    if body.startswith(png.SIGNATURE):
        for _ in png.chunks(body):
            pass  # Pillow overlooks a missing end and the checksums of ancillary chunks
    image = Image.open(io.BytesIO(body), formats=FORMATS)
    if image.width * image.height > max_pixels:
        raise _Unfit(
            f"{image.width} x {image.height} are more than {max_pixels // 2**20} Mi pixels"
        )
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise _Unfit("it is an animation")
    image.load()
    if image.mode == "P" and image.palette is None:
        raise _Unfit("it has no palette")
    return image


def _require_size(size: Size, expect: Size | None) -> None:
    if expect is not None and size != expect:
        raise OutputInvalid(
            f"the picture is {size[0]} x {size[1]}, not {expect[0]} x {expect[1]}", value=size
        )


def _picture(image: Image.Image, expect: Size | None) -> ImageInfo:
    _require_size(image.size, expect)
    formats: dict[str, OutputFormat] = {"PNG": "png", "WEBP": "webp"}
    return ImageInfo(formats.get(image.format or "", "jpeg"), image.width, image.height, image.mode)

"""Submitted pictures: named, judged by what they declare, decoded within bounds, written anew.

The bounds hold for whatever bytes come. A decoder takes memory by the pixels that a picture
declares, so each format has a limit of its own, by the bytes a pixel that its decoder was seen to
take (Pillow 13, pillow-heif 1.8; the rest of a decode adds less than 100 MB):

    PNG 4.2 · JPEG 4.2, of what remains after its own scaling · HEIC 7.6 · AVIF 9.8 · WebP 16.5
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import pillow_heif
from PIL import Image, ImageFile, ImageOps

from config.errors import InvalidInput
from handlers.media import jpeg, png
from handlers.media.formats import READ, FileFormat, format_of
from handlers.media.pixels import EXTENSION, UNREADABLE, FileType, eight_bit, encode

MI = 2**20
MAX_INTAKE_BYTES = 32 * MI
MAX_INTAKE_PIXELS: Mapping[str, int] = MappingProxyType(
    {"PNG": 64 * MI, "JPEG": 64 * MI, "HEIC": 50 * MI, "AVIF": 32 * MI, "WebP": 20 * MI}
)
"""That a picture may declare, by format."""
MAX_KEPT_PIXELS = 16 * MI
"""Beyond it a picture is scaled down by the smallest whole number that does."""
MAX_SCANS = 32
MAX_SCANNED_PIXELS = 2**30
"""Of all scans of a JPEG together. Cameras and encoders write at most 14."""
_STRIP = 128
"""Rows that are scaled at a time."""


Write = Callable[[FileFormat, Image.Image], tuple[str, bytes]]
"""Extension and bytes of what becomes of a decoded picture, of which it knows the format."""


class Source(Protocol):
    """A picture whose header was read. Anything else may raise one of UNREADABLE."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def is_animated(self) -> bool: ...

    def draft(self, factor: int) -> None:
        """Be smaller, by at most so much, where its decoder can do that."""

    def rows(self, top: int, bottom: int) -> Image.Image:
        """Decoded, with its palette and its EXIF."""


@dataclass(frozen=True)
class _PillowSource:
    image: ImageFile.ImageFile

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def height(self) -> int:
        return self.image.height

    @property
    def is_animated(self) -> bool:
        # Second pictures of a camera's JPEG are previews and depth.
        return getattr(self.image, "is_animated", False) and self.image.format != "MPO"

    def draft(self, factor: int) -> None:
        self.image.draft(None, (-(-self.width // factor), -(-self.height // factor)))

    def rows(self, top: int, bottom: int) -> Image.Image:
        self.image.load()
        if self.image.mode == "P" and self.image.palette is None:
            raise ValueError("it has no palette")
        if (top, bottom) == (0, self.height):
            return self.image
        return self.image.crop((0, top, self.width, bottom))


@dataclass(frozen=True)
class _HeicSource:
    """libheif turns pictures upright by itself. Read by rows, as Pillow would copy all of them."""

    image: pillow_heif.HeifFile
    is_animated = False

    @property
    def width(self) -> int:
        return int(self.image.size[0])

    @property
    def height(self) -> int:
        return int(self.image.size[1])

    def draft(self, factor: int) -> None:
        """It cannot."""

    def rows(self, top: int, bottom: int) -> Image.Image:
        data, stride = memoryview(self.image.data), self.image.stride
        size, mode = (self.width, bottom - top), self.image.mode
        part = data[top * stride : bottom * stride]
        return Image.frombytes(mode, size, part, "raw", mode, stride, 1)


def intake(body: bytes) -> tuple[str, bytes]:
    """Extension and bytes of a submitted picture, decoded, turned upright and written anew.

    Nothing but pixels survives: no EXIF, no colour profile, no second file behind the first.
    Raises as `taken_in`.
    """
    return taken_in(body, _whole)


def taken_in(body: bytes, write: Write) -> tuple[str, bytes]:
    """What `write` makes of a picture that was decoded within bounds and turned upright.

    Raises InvalidInput: for too many bytes or pixels, an animation, a damaged picture, a format
    that is not read, and what is no picture.
    """
    require_bytes(body)
    found = _named(body)
    try:
        upright = ImageOps.exif_transpose(_kept(_opened(body, found)))
        upright.info.pop("icc_profile", None)
        return write(found, upright)
    except MemoryError:
        raise InvalidInput(
            f"the {found.name} picture takes more memory than a picture may",
            hint="Scale it down, or save it as JPEG.",
        ) from None
    except UNREADABLE:
        # What the decoder said may hold addresses of this process, so nobody is told.
        raise InvalidInput(
            f"not a picture that can be read: a {found.name} that is damaged or cut off",
            hint="Open it, save it again as PNG or JPEG, and send that.",
        ) from None


def _whole(found: FileFormat, image: Image.Image) -> tuple[str, bytes]:
    fmt = _written_as(found, image)
    return EXTENSION[fmt], encode(image, fmt, xmp=None)


def require_bytes(body: bytes) -> None:
    """Raises InvalidInput."""
    if len(body) > MAX_INTAKE_BYTES:
        raise InvalidInput(
            f"the picture has {len(body)} bytes, more than {MAX_INTAKE_BYTES}",
            hint="Send a smaller picture.",
        )


def _named(body: bytes) -> FileFormat:
    found = format_of(body)
    if found is None:
        raise InvalidInput(
            "not a picture that can be read: its first bytes are those of no known format"
            if body
            else "not a picture that can be read: it is empty",
            hint=f"{', '.join(READ[:-1])} and {READ[-1]} are read.",
        )
    if found.name.endswith("sequence"):
        raise _animated(found)
    if not found.is_read:
        raise InvalidInput(
            f"not a picture that can be read: its first bytes are those of a {found.name}",
            hint="Save it as PNG or JPEG, and send that.",
        )
    return found


def _animated(found: FileFormat) -> InvalidInput:
    return InvalidInput(
        f"the {found.name} is an animation, and a picture is needed",
        hint="Save one of its frames as PNG or JPEG, and send that.",
    )


def _opened(body: bytes, found: FileFormat) -> Source:
    """Its header read, nothing decoded. Raises InvalidInput for what it declares, or one of
    UNREADABLE."""
    if found.name == "PNG":
        for _ in png.chunks(body):
            pass  # Pillow overlooks a missing end and the checksums of ancillary chunks
    try:
        source = _OPENERS[found.name](body)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InvalidInput(
            f"the {found.name} has more pixels than any picture may have", hint=_smaller(found)
        ) from None
    _require_pixels(source, found)
    if found.name == "JPEG":
        _require_few_scans(body, source)
    if source.is_animated:
        raise _animated(found)
    return source


def _by_pillow(body: bytes) -> Source:
    return _PillowSource(Image.open(io.BytesIO(body), formats=("PNG", "JPEG", "WEBP", "AVIF")))


def _by_libheif(body: bytes) -> Source:
    return _HeicSource(pillow_heif.open_heif(io.BytesIO(body), convert_hdr_to_8bit=True))


_OPENERS: Mapping[str, Callable[[bytes], Source]] = {
    name: _by_libheif if name == "HEIC" else _by_pillow for name in READ
}


def _require_pixels(source: Source, found: FileFormat) -> None:
    most = MAX_INTAKE_PIXELS[found.name]
    if source.width * source.height > most:
        raise InvalidInput(
            f"the {found.name} has {source.width} x {source.height} pixels, more than"
            f" {most // MI} Mi",
            hint=_smaller(found),
        )


def _smaller(found: FileFormat) -> str:
    return f"Scale it down: a {found.name} may have {MAX_INTAKE_PIXELS[found.name]:,} pixels."


def _require_few_scans(body: bytes, source: Source) -> None:
    count = jpeg.scans(body, MAX_SCANS)
    if count > MAX_SCANS or count * source.width * source.height > MAX_SCANNED_PIXELS:
        scans = f"more than {MAX_SCANS}" if count > MAX_SCANS else str(count)
        raise InvalidInput(
            f"the JPEG has too many scans: {scans}, of {source.width} x {source.height} pixels",
            hint="Save it again as a JPEG that is not progressive.",
        )


def _kept(source: Source) -> Image.Image:
    """All its pixels, or a picture of at most MAX_KEPT_PIXELS."""
    factor = _factor(source)
    if factor > 1:
        source.draft(factor)
        factor = _factor(source)
    return source.rows(0, source.height) if factor == 1 else _reduced(source, factor)


def _factor(source: Source) -> int:
    factor = 1
    while -(-source.width // factor) * -(-source.height // factor) > MAX_KEPT_PIXELS:
        factor += 1
    return factor


def _reduced(source: Source, factor: int) -> Image.Image:
    """Strip by strip, as a second picture of this size would be too much."""
    rows = _STRIP * factor
    out: Image.Image | None = None
    for top in range(0, source.height, rows):
        strip = source.rows(top, min(top + rows, source.height))
        small = eight_bit(strip).reduce(factor)
        if out is None:
            out = Image.new(small.mode, (small.width, -(-source.height // factor)))
            out.info["exif"] = strip.info.get("exif", b"")
        out.paste(small, (0, top // factor))
    assert out is not None
    return out


def _written_as(found: FileFormat, image: Image.Image) -> FileType:
    """Photographs stay JPEG; what has sharp edges or shows through is PNG."""
    lossy = found.name == "JPEG" or (
        found.name in ("HEIC", "AVIF") and not image.has_transparency_data
    )
    return "jpeg" if lossy else "png"

"""Small copies of pictures, for pages that show thousands of them."""

import io
import struct

from PIL import Image

from handlers.media.formats import FileFormat
from handlers.media.pixels import eight_bit, opaque
from handlers.media.submitted import taken_in

LONGEST = 256
"""Pixels of a side."""
MAX_BYTES = 6500
"""Of each: 2,000 in one page, as base64, stay under 18 MB."""
_TRIES = ((LONGEST, 72), (LONGEST, 50), (LONGEST, 30), (192, 30), (128, 20), (80, 10))
"""Longest side and quality, until one has few enough bytes. The last has, whatever the picture."""
_FILE = struct.Struct("<4sI4s4sI6sHH")
"""Of a lossy WebP without metadata: RIFF and its size, WEBP, VP8 and its size, the frame's tag and
start code, width and height with two bits of scale each."""
_SIDE = 0x3FFF


def thumbnail(body: bytes) -> tuple[str, bytes]:
    """Extension and bytes of a WebP of at most MAX_BYTES, whose sides have at most LONGEST pixels.

    Equal bytes give equal bytes. What shows through is white. Raises InvalidInput, as `intake`.
    """
    return taken_in(body, _small)


def is_thumbnail(body: bytes) -> bool:
    """Whether these bytes can be one of `thumbnail`'s. Nothing is decoded: they may be a stranger's
    that declare a picture of any size."""
    if not _FILE.size < len(body) <= MAX_BYTES:
        return False
    riff, size, webp, vp8, _, frame, width, height = _FILE.unpack_from(body)
    return (
        (riff, webp, vp8, frame[3:]) == (b"RIFF", b"WEBP", b"VP8 ", b"\x9d\x01\x2a")
        and size == len(body) - 8
        and 0 < width & _SIDE <= LONGEST
        and 0 < height & _SIDE <= LONGEST
    )


def _small(_: FileFormat, image: Image.Image) -> tuple[str, bytes]:
    plain = opaque(eight_bit(image))
    made = b""
    for longest, quality in _TRIES:
        small = plain.copy()
        small.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
        small.info = {}
        out = io.BytesIO()
        small.save(out, "WEBP", quality=quality, method=4)
        made = out.getvalue()
        if len(made) <= MAX_BYTES:
            break
    return "webp", made

"""A PNG of bare pixels, made by several threads: each compresses a strip of its own.

Subtracting the pixel to the left and zlib's run-length strategy take a sixth of the time of
Pillow's level 4, for files 6 to 20 % larger. Nothing is lost.
"""

import hashlib
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import pairwise
from typing import Any

from handlers.media import png

STRIPS = 16
"""However many cores there are, so that a file does not depend on the machine."""
THREADS = 8
"""At most: starting one costs as much as it saves with more."""
LEVEL = 1
RGB = 3
_SUB = 1
"""PNG's filter type: the difference to the pixel on the left."""
_ADLER = 65521
"""The modulus of Adler-32."""


def encode(
    pixels: bytes, width: int, height: int, *, sha256: str | None = None, strips: int = STRIPS
) -> bytes:
    """A whole PNG. Arguments and errors are those of chunks()."""
    return png.join(chunks(pixels, width, height, sha256=sha256, strips=strips))


def chunks(
    pixels: bytes, width: int, height: int, *, sha256: str | None = None, strips: int = STRIPS
) -> tuple[png.Chunk, ...]:
    """The chunks of a PNG. `pixels` are RGB, 8 bits each, row by row; `sha256` is what they must
    have, in hex, which is looked at meanwhile. Equal arguments give equal bytes, whatever the
    number of cores.

    Raises ValueError when they are not width x height x 3 bytes, or others than they should be.
    """
    if len(pixels) != width * height * RGB or not pixels:
        raise ValueError(f"{len(pixels)} bytes are not {width} x {height} pixels of RGB")
    rows = import_module("numpy").frombuffer(pixels, "uint8").reshape(height, width * RGB)
    edges = [height * at // strips for at in range(strips + 1)]
    parts = [rows[first:last] for first, last in pairwise(edges)]
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        checked = pool.submit(require_digest, pixels, sha256)
        packed = list(pool.map(_packed, parts))
        checked.result()
    data = [b"\x78\x01", *(body for body, _, _ in packed), _end(), _checksum(packed)]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"IHDR", header), (b"IDAT", b"".join(data)), (b"IEND", b"")


def require_digest(pixels: bytes, sha256: str | None) -> None:
    """Raises ValueError when they are others than they should be, where somebody knows that."""
    if sha256 is not None and hashlib.sha256(pixels).hexdigest() != sha256:
        raise ValueError("the pixels are not those that were saved: their sha256 differs")


def _packed(rows: Any) -> tuple[bytes, int, int]:
    """Deflated so that another strip can follow: it ends on a whole byte, and is not the last.
    Beside it the Adler-32 of what was deflated, and how many bytes that was."""
    filtered = _filtered(rows)
    pack = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_RLE)
    body = pack.compress(filtered) + pack.flush(zlib.Z_FULL_FLUSH)
    return body, zlib.adler32(filtered), filtered.size


def _filtered(rows: Any) -> Any:
    """Each row as a filter byte and differences: an array of (height, 1 + 3 x width) bytes."""
    numpy = import_module("numpy")
    height, width = rows.shape
    filtered = numpy.empty((height, 1 + width), numpy.uint8)
    filtered[:, 0] = _SUB
    filtered[:, 1 : 1 + RGB] = rows[:, :RGB]
    numpy.subtract(rows[:, RGB:], rows[:, :-RGB], out=filtered[:, 1 + RGB :])  # wraps at 256
    return filtered


def _end() -> bytes:
    """An empty last block."""
    return zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS).flush(zlib.Z_FINISH)


def _checksum(packed: list[tuple[bytes, int, int]]) -> bytes:
    """Adler-32 of all strips together (RFC 1950): its low half is one more than the sum of the
    bytes, its high half the sum of the low halves after each byte."""
    low, high = 1, 0
    for _, adler, size in packed:
        high = (high + (adler >> 16) + size * (low - 1)) % _ADLER
        low = (low + (adler & 0xFFFF) - 1) % _ADLER
    return struct.pack(">I", high << 16 | low)

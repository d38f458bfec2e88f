"""A PNG of bare pixels, made by several threads: each compresses a strip of its own.

Subtracting the pixel to the left and zlib's run-length strategy take a sixth of the time of
Pillow's level 4, for files 6 to 20 % larger. Nothing is lost.
"""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import pairwise
from typing import Any

from handlers.media import png

THREADS = 8
"""Also how many strips there are, so that a file does not depend on the machine."""
LEVEL = 1
RGB = 3
_SUB = 1
"""PNG's filter type: the difference to the pixel on the left."""


def encode(pixels: bytes, width: int, height: int, threads: int = THREADS) -> bytes:
    """A whole PNG. Arguments and errors are those of chunks()."""
    return png.join(chunks(pixels, width, height, threads))


def chunks(pixels: bytes, width: int, height: int, threads: int = THREADS) -> tuple[png.Chunk, ...]:
    """The chunks of a PNG. `pixels` are RGB, 8 bits each, row by row. Equal arguments give equal
    bytes, whatever the number of cores.

    Raises ValueError when they are not width x height x 3 bytes.
    """
    if len(pixels) != width * height * RGB or not pixels:
        raise ValueError(f"{len(pixels)} bytes are not {width} x {height} pixels of RGB")
    filtered = _filtered(pixels, width, height)
    edges = [height * at // threads for at in range(threads + 1)]
    strips = [(first, last) for first, last in pairwise(edges) if first < last]
    with ThreadPoolExecutor(threads) as pool:
        packed = pool.map(_packed, (filtered[first:last] for first, last in strips))
        data = b"".join([b"\x78\x01", *packed, _end(), _checksum(filtered)])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"IHDR", header), (b"IDAT", data), (b"IEND", b"")


def _filtered(pixels: bytes, width: int, height: int) -> Any:
    """Rows of a filter byte and differences, as an array of (height, 1 + 3 x width) bytes."""
    numpy = import_module("numpy")
    rows = numpy.frombuffer(pixels, numpy.uint8).reshape(height, width * RGB)
    filtered = numpy.empty((height, 1 + width * RGB), numpy.uint8)
    filtered[:, 0] = _SUB
    filtered[:, 1 : 1 + RGB] = rows[:, :RGB]
    numpy.subtract(rows[:, RGB:], rows[:, :-RGB], out=filtered[:, 1 + RGB :])  # wraps at 256
    return filtered


def _packed(strip: Any) -> bytes:
    """Deflated so that another strip can follow: it ends on a whole byte, and is not the last."""
    pack = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, 8, zlib.Z_RLE)
    return pack.compress(strip) + pack.flush(zlib.Z_FULL_FLUSH)


def _end() -> bytes:
    """An empty last block."""
    return zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS).flush(zlib.Z_FINISH)


def _checksum(filtered: Any) -> bytes:
    return struct.pack(">I", zlib.adler32(filtered))

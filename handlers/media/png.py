"""PNG chunks: checked strictly, and changed without touching the compressed pixels."""

import struct
from collections.abc import Iterable, Iterator

from isal.isal_zlib import crc32

SIGNATURE = b"\x89PNG\r\n\x1a\n"

Chunk = tuple[bytes, bytes]
"""Type and data."""

KEPT = frozenset(
    {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
    | {b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"pHYs"}
)
"""Chunks that decide how the picture looks. All others carry text, times, frames or unknowns."""


def chunks(body: bytes) -> Iterator[Chunk]:
    """The chunks up to IEND; whatever follows it is left out.

    Raises ValueError when one is cut off or its checksum is wrong.
    """
    if not body.startswith(SIGNATURE):
        raise ValueError("not a PNG")
    at = len(SIGNATURE)
    while True:
        if at + 12 > len(body):
            raise ValueError("PNG is cut off")
        (length,) = struct.unpack_from(">I", body, at)
        end = at + 12 + length
        if end > len(body):
            raise ValueError("PNG is cut off")
        kind, data = body[at + 4 : at + 8], body[at + 8 : end - 4]
        if crc32(data, crc32(kind)) != int.from_bytes(body[end - 4 : end], "big"):
            raise ValueError(f"PNG chunk {kind!r} has a wrong checksum")
        if (at == len(SIGNATURE)) != (kind == b"IHDR"):
            raise ValueError("PNG chunks are out of order")
        yield kind, data
        if kind == b"IEND":
            return
        at = end


def pieces(parts: Iterable[Chunk]) -> Iterator[bytes]:
    """The file made of these chunks, which begin with IHDR and end with IEND, from front to back,
    each as soon as it is there."""
    yield SIGNATURE
    for kind, data in parts:
        yield struct.pack(">I", len(data)) + kind
        yield data
        yield struct.pack(">I", crc32(data, crc32(kind)))


def join(parts: Iterable[Chunk]) -> bytes:
    """The whole of it."""
    return b"".join(pieces(parts))


def xmp_chunk(packet: bytes) -> Chunk:
    """As the XMP specification has it in a PNG: an uncompressed iTXt of this keyword."""
    return b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet


def is_plain(parts: Iterable[Chunk]) -> bool:
    """Whether the pixels are 8-bit RGB or RGBA, and all there is."""
    kinds = dict(parts)
    if b"IHDR" not in kinds:
        return False
    depth, colour = kinds[b"IHDR"][8:10]
    return depth == 8 and colour in (2, 6) and b"acTL" not in kinds and b"tRNS" not in kinds


def with_xmp(parts: Iterable[Chunk], packet: bytes) -> Iterator[Chunk]:
    """The same pixels and colours, with this packet as the only text."""
    for kind, data in parts:
        if kind in KEPT:
            yield kind, data
        if kind == b"IHDR":
            yield xmp_chunk(packet)

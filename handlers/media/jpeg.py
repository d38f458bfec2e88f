"""How often a JPEG's pixels are gone over: what its decoding costs, known before it is decoded."""

import re

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_ALONE = frozenset({0x01, _START, *range(0xD0, 0xD8)})
"""Markers without a segment behind them."""
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""What ends the coded data of a scan: a marker, not a stuffed byte and not a restart."""


def scans(body: bytes, most: int) -> int:
    """Scans of the first picture in the file, counted up to `most` + 1. Previews in its metadata
    and pictures behind its end do not count."""
    at, found = 2, 0
    while at + 4 <= len(body) and found <= most:
        if body[at] != 0xFF:
            return found  # damaged: its decoder says how
        marker = body[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == _END:
            return found
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(body[at + 2 : at + 4], "big")
            if marker == _SCAN:
                found += 1
                behind = _NEXT_MARKER.search(body, at)
                at = behind.start() if behind else len(body)
    return found

"""A zip whose bytes depend on nothing but what is in it."""

import zipfile
from collections.abc import Iterable
from typing import IO

DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file in it: the earliest that a zip can tell."""
_UNIX = 3
_MODE = 0o100644 << 16
"""A plain file that its owner may write."""


def write_zip(file: IO[bytes], members: Iterable[tuple[str, bytes]]) -> None:
    """Write these files, in this order, stored as they are. One at a time is in memory.

    `file` must be empty and able to seek. Pictures are compressed already; and what a compressor
    makes of a text changes with its version.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, body in members:
            info = zipfile.ZipInfo(name, DATE)
            info.create_system = _UNIX
            info.external_attr = _MODE
            archive.writestr(info, body)

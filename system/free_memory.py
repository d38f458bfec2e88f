"""Memory that was freed and that the C library keeps for later."""

import ctypes
import gc
from contextlib import suppress

LARGE = 256 * 1024
"""Bytes. glibc raises its own limit to 32 MiB as soon as large blocks are freed."""
_MMAP_THRESHOLD = -3
"""Of glibc's mallopt."""


def map_large_blocks() -> None:
    """For this process: a large block is mapped by itself, and is the system's again when it is
    freed. Otherwise threads keep it at the top of their arenas, which are never trimmed."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """To the operating system, as far as whole pages are free. glibc keeps what large bodies took
    in the arenas of the threads that read them; elsewhere nothing happens."""
    gc.collect()  # an error and the frames that it was raised through hold each other
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)

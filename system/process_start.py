"""When this process began: its birth, and the moment at which our own code began to load."""

import os
import time
from contextlib import suppress
from pathlib import Path

LONGEST_S = 600.0
"""Between the two. Where a clock says more, it is the machine's and not the sandbox's."""
IMPORTED_AT = time.monotonic()
"""The clock at the first import of this module. Whoever wants to know imports it early."""


def born_at(stat: Path = Path("/proc/self/stat")) -> float:
    """When this process was started, on the monotonic clock; IMPORTED_AT where nobody says."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        # The name, in brackets, may hold anything; the start is the 20th field behind it.
        ticks = int(stat.read_text().rsplit(")", 1)[1].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        born = time.monotonic() - age
        if born > IMPORTED_AT - LONGEST_S:
            return min(IMPORTED_AT, born)
    return IMPORTED_AT

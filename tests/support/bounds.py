"""What one input may cost: processor time and memory, whatever becomes of it."""

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

MIB = 2**20


@contextmanager
def bounded(seconds: float, mebibytes: float) -> Iterator[None]:
    """Asserts the processor time and the most memory that Python held for what is inside."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
    finally:
        spent = time.process_time() - began
        peak = tracemalloc.get_traced_memory()[1] / MIB
        tracemalloc.stop()
    assert spent < seconds, f"{spent:.2f} s"
    assert peak < mebibytes, f"{peak:.1f} MiB"

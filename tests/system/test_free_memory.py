import os
from pathlib import Path

from system.free_memory import give_back


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_many_small_objects_took_is_given_back() -> None:
    before = resident_bytes()
    small = [bytes(600) for _ in range(100_000)]
    assert resident_bytes() - before > 40 * 2**20
    kept = small[::10_000]
    del small
    give_back()

    assert resident_bytes() - before < 20 * 2**20
    assert len(kept) == 10

import subprocess
import sys

ALLOCATES = """
import os
from pathlib import Path
from system.free_memory import give_back

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident_bytes()
small = [bytes(600) for _ in range(100_000)]
taken = resident_bytes() - before
kept = small[::10_000]
del small
give_back()
print(taken, resident_bytes() - before, len(kept))
"""


def test_what_many_small_objects_took_is_given_back() -> None:
    """In a process of its own: in one that ran other tests such objects find room that is free."""
    done = subprocess.run([sys.executable, "-c", ALLOCATES], capture_output=True, check=True)

    taken, left, kept = map(int, done.stdout.split())
    assert taken > 40 * 2**20
    assert left < 20 * 2**20
    assert kept == 10

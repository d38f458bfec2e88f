"""Reads weight files into the system's cache while ComfyUI is still importing.

ComfyUI starts for 15 s without touching a weight, and a volume delivers one or two gigabytes a
second to whoever reads from front to back. What was read is then copied from memory.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import structlog

CHUNK = 8 * 2**20
"""Bytes that are read at a time."""
SHARE = 0.75
"""Of the memory: ComfyUI holds the file that it loads once more."""


@dataclass(frozen=True)
class PreloadReport:
    """What was read so far."""

    bytes: int = 0
    seconds: float = 0.0
    """Spent reading."""
    whole: frozenset[Path] = frozenset()
    """Files that were read to their end."""


class WeightsPreload:
    """Reads in a thread of its own, the smallest file of each set first: a graph needs its text
    encoders before the model that they are for."""

    def __init__(
        self,
        sets: Iterable[Sequence[Path]],
        limit_bytes: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Files that do not exist are passed over; nothing is read beyond `limit_bytes`."""
        ordered = [path for files in sets for path in sorted(files, key=_size)]
        self._paths = [path for path in dict.fromkeys(ordered) if path.is_file()]
        self._left = limit_bytes
        self._monotonic = monotonic
        self._wanted: frozenset[Path] = frozenset(self._paths)
        self._stopped = Event()
        self._report = PreloadReport()
        self._thread = Thread(target=self._read_all, name="weights-ahead", daemon=True)

    @property
    def report(self) -> PreloadReport:
        """What was read so far. From any thread."""
        return self._report

    def start(self) -> None:
        """Once."""
        self._thread.start()

    def only(self, paths: Collection[Path]) -> None:
        """From now on read nothing but these: another file would be in the way of a job."""
        self._wanted = frozenset(paths)

    def stop(self) -> None:
        """Waits for the chunk that is being read."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)

    def _read_all(self) -> None:
        buffer = memoryview(bytearray(CHUNK))
        for path in self._paths:
            if self._goes_on(path):
                try:
                    self._read(path, buffer)
                except OSError as error:  # ComfyUI will say what is wrong with the file
                    structlog.get_logger(__name__).warning(
                        "weights_not_read_ahead", file=str(path), error=error.strerror
                    )

    def _read(self, path: Path, buffer: memoryview) -> None:
        with path.open("rb", buffering=0) as file:
            while self._goes_on(path):
                began = self._monotonic()
                got = file.readinto(buffer)
                self._left -= got
                report = self._report
                self._report = PreloadReport(
                    report.bytes + got,
                    report.seconds + self._monotonic() - began,
                    report.whole if got else report.whole | {path},
                )
                if not got:
                    return

    def _goes_on(self, path: Path) -> bool:
        return not self._stopped.is_set() and self._left > 0 and path in self._wanted


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def memory_to_fill(memory_gib: float, meminfo: Path = Path("/proc/meminfo")) -> float:
    """Bytes that may be read ahead: a share of what the route asks for, or of what is free here."""
    asked = memory_gib * 2**30
    try:
        lines = meminfo.read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError, IndexError):
        return asked * SHARE
    return min(asked, free) * SHARE

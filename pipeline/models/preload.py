"""Reads weight files into the system's cache while ComfyUI is still importing.

ComfyUI starts for 5 to 15 s without touching a weight, and a disk delivers one or two gigabytes a
second to whoever reads from front to back. What was read is then copied from memory: ComfyUI still
moves it to the GPU itself, through memory that is not pinned, at 5 to 6 GB a second where pinned
memory gives 55 (H200, PCIe 5). This saves the disk's time and no more.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock, Thread

import structlog

CHUNK = 8 * 2**20
"""Bytes that are read at a time."""
READERS = 2
"""Threads that share a file. From a disk of two processors that others used too, 1 GiB that was in
no cache came at 0.47 GB/s by one reader, 1.16 by two and 1.19 by four (medians of six)."""
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
    """Reads in threads of its own, one file after the other, the smallest of each set first: a
    graph needs its text encoders before the model that they are for."""

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
        self._lock = Lock()
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
        buffers = [memoryview(bytearray(CHUNK)) for _ in range(READERS)]
        for path in self._paths:
            if self._goes_on(path):
                try:
                    self._read(path, buffers)
                except OSError as error:  # ComfyUI will say what is wrong with the file
                    structlog.get_logger(__name__).warning(
                        "weights_not_read_ahead", file=str(path), error=error.strerror
                    )

    def _read(self, path: Path, buffers: Sequence[memoryview]) -> None:
        with path.open("rb", buffering=0) as file:
            part = _OpenFile(path, file.fileno(), self._report.seconds - self._monotonic())
            readers = [
                Thread(target=self._read_chunks, args=(part, buffer), daemon=True)
                for buffer in buffers
            ]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        if part.errors:
            raise part.errors[0]
        if not part.given_up:
            self._report = replace(self._report, whole=self._report.whole | {path})

    def _read_chunks(self, part: "_OpenFile", buffer: memoryview) -> None:
        while (offset := self._next(part)) is not None:
            try:
                got = os.preadv(part.descriptor, [buffer], offset)
            except OSError as error:
                part.errors.append(error)
                return
            with self._lock:
                seconds = part.seconds_before + self._monotonic()
                self._report = replace(
                    self._report, bytes=self._report.bytes + got, seconds=seconds
                )

    def _next(self, part: "_OpenFile") -> int | None:
        """Where the next chunk begins that may be read."""
        with self._lock:
            offset = next(part.offsets, None)
            if offset is None or part.errors:
                return None
            if not self._goes_on(part.path):
                part.given_up = True
                return None
            self._left -= min(CHUNK, part.size - offset)
            return offset

    def _goes_on(self, path: Path) -> bool:
        return not self._stopped.is_set() and self._left > 0 and path in self._wanted


@dataclass
class _OpenFile:
    """What the readers of one file share."""

    path: Path
    descriptor: int
    seconds_before: float
    """Of the report, when it began, less the clock."""
    errors: list[OSError] = field(default_factory=list)
    given_up: bool = False

    def __post_init__(self) -> None:
        self.size = os.fstat(self.descriptor).st_size
        self.offsets: Iterator[int] = iter(range(0, self.size, CHUNK))


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

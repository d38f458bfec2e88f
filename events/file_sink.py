"""Events as lines of JSON in a local file, for runs without a PostHog key."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
from pydantic import ValidationError

from events.sink import NotDelivered
from events.stored_event import StoredEvent


class FileSink:
    """Appends to a file that several processes may share; a batch stays together in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        lines = "".join(event.model_dump_json() + "\n" for event in events).encode()
        if lines:
            try:
                self._append(lines)
            except OSError as error:
                raise NotDelivered(f"{self._path}: {error.strerror}") from error
        return ()

    def _append(self, lines: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # A writer that died, or a disk that was full, may have left half a line.
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            rest = b"\n" + lines if torn else lines
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)


def read_events(path: Path) -> Iterator[StoredEvent]:
    """The events in the file, each once, in the order of arrival. Torn lines are passed over.

    A file that does not exist has no events.
    """
    if not path.exists():
        return
    seen: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                event = StoredEvent.model_validate_json(line)
            except ValidationError:
                structlog.get_logger(__name__).warning(
                    "event_line_unreadable", path=str(path), line=number
                )
                continue
            if event.uuid not in seen:
                seen.add(event.uuid)
                yield event

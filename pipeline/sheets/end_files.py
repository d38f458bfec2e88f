"""`sheet.json` and the contact sheet of a character sheet that ends, stored by whoever ends it.

Both are told from the records, and the stored pictures are only drawn in small. So what goes wrong
here costs the files, and never the end of the job: it is logged.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import structlog

from config.errors import StoreUnavailable, Superseded
from handlers.character_sheet.records import Picture
from handlers.character_sheet.sheet_document import SetVerdict
from pipeline.contract.keys import attempt_folder
from pipeline.contract.lease import Lease
from pipeline.contract.result import ResultFile
from pipeline.sheets.sheet_end import SheetEnd
from pipeline.store.base import Stored

MAX_PICTURE_BYTES = 16 * 2**20
"""Of a picture that is read; one of the largest views is smaller, whatever it shows."""
WAIT_S = 4.0
"""For another sheet's turn in this process. Over HTTP both must stay below an answer's patience."""
READ_S = 6.0
"""For all pictures of one sheet."""


class FileStore(Protocol):
    """A store as it is used here."""

    def get(self, key: str, *, limit: int | None = None) -> Stored | None: ...

    def write(self, key: str, body: bytes, content_type: str) -> None: ...


@dataclass(frozen=True)
class EndFiles:
    """What a result says of them."""

    files: tuple[ResultFile, ...] = ()
    verdict: SetVerdict | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """Of the result."""
        return {"files": self.files, "sheet": self.verdict}


NO_FILES = EndFiles()
WriteEndFiles = Callable[[SheetEnd, str], EndFiles]
"""Of a sheet, into that folder. Raises StoreUnavailable."""


def no_end_files(end: SheetEnd, folder: str) -> EndFiles:  # noqa: ARG001
    """For whoever only judges."""
    return NO_FILES


def end_folder(lease: Lease) -> str:
    """Where whoever ends a sheet without having made it writes its files. The nonce is its own, so
    nobody else writes there: neither a worker that still runs, nor another who ends it."""
    return f"{attempt_folder(lease.id, lease.attempt)}{lease.nonce}/"


def write_end_files(
    store: FileStore, end: SheetEnd, folder: str, *, in_time: Callable[[], bool] = lambda: True
) -> EndFiles:
    """Make and store the files, before the result that names them. Whoever is killed in between
    leaves two objects that no result names.

    Pictures are read one at a time, as long as `in_time` says so; of those left words tell. Raises
    StoreUnavailable, and Superseded where the store does.
    """
    log = structlog.get_logger(__name__).bind(job=end.plan.job_id)
    try:
        return _written(store, end, folder, in_time)
    except (StoreUnavailable, Superseded):
        raise
    except Exception:  # else nobody could ever end a sheet that cannot be drawn
        log.exception("sheet_files_not_written")
        return NO_FILES


@dataclass(frozen=True)
class EndFilesWriter:
    """For a process that does more than to end one sheet: one at a time, since pictures take
    memory, and in bounded time."""

    store: FileStore
    turn: Lock = field(default_factory=Lock)
    wait_s: float = WAIT_S
    read_s: float = READ_S
    monotonic: Callable[[], float] = time.monotonic

    def write(self, end: SheetEnd, folder: str) -> EndFiles:
        """As `write_end_files`. Where others do not let it have its turn it reads no pictures."""
        has_turn = self.turn.acquire(timeout=self.wait_s)
        ends = self.monotonic() + self.read_s
        try:
            return write_end_files(
                self.store, end, folder, in_time=lambda: has_turn and self.monotonic() < ends
            )
        finally:
            if has_turn:
                self.turn.release()


def _written(store: FileStore, end: SheetEnd, folder: str, in_time: Callable[[], bool]) -> EndFiles:
    from handlers.character_sheet.sheet_files import sheet_files  # noqa: PLC0415  who ends none waits for no Pillow

    def stored(picture: Picture) -> bytes | None:
        return _picture(store, picture) if in_time() else None

    made = sheet_files(end.plan, end.records, stored, usd=end.usd, why_missing=end.why)
    files = []
    for file in made:
        key = folder + file.name
        store.write(key, file.body, file.content_type)
        files.append(
            ResultFile(
                name=file.name,
                key=key,
                bytes=len(file.body),
                sha256=hashlib.sha256(file.body).hexdigest(),
                content_type=file.content_type,
            )
        )
    return EndFiles(tuple(files), made.document.set)


def _picture(store: FileStore, picture: Picture) -> bytes | None:
    """None for one that is gone, or is not the one that was recorded."""
    if picture.bytes > MAX_PICTURE_BYTES:
        return None
    found = store.get(picture.key, limit=picture.bytes + 1)
    if found is None or hashlib.sha256(found.body).hexdigest() != picture.sha256:
        structlog.get_logger(__name__).warning("picture_not_read", key=picture.key)
        return None
    return found.body

"""Where a dataset's zip goes: a file, or an object of the bucket. Whole or not at all, and a second
time it is the same one."""

import fcntl
import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from config.errors import OutputInvalid
from pipeline.contract.keys import export_key
from pipeline.store.base import Stored
from pipeline.store.conditional import SafeStore, Won

PART_BYTES = 8 * 2**20
"""Of an object, that are asked for at a time."""
BLOCK_BYTES = 2**20
"""Of a file, that are read at a time."""
CONTENT_TYPE = "application/zip"


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file that becomes `path` once all of it is written; until then what stands there stays.

    It is written beside it as `.<name>.part`, which a process that was killed leaves behind and the
    next one takes over. Two that write at once take turns. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with _locked(part) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _locked(part: Path) -> IO[bytes]:
    """The part, empty, and of nobody else as long as it is open."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        fcntl.flock(file, fcntl.LOCK_EX)
        if part.exists() and os.path.samestat(part.stat(), os.fstat(file.fileno())):
            file.truncate(0)
            return file
        file.close()  # another one was done with it meanwhile: it has its name now


def sha256_of(file: IO[bytes]) -> tuple[str, int]:
    """In hex, and the length in bytes."""
    file.seek(0)
    digest = hashlib.sha256()
    while part := file.read(BLOCK_BYTES):
        digest.update(part)
    return digest.hexdigest(), file.tell()


def store_zip(store: SafeStore, id: str, file: IO[bytes], sha256: str, size: int) -> bool:
    """Put it under exports/<id>/, unless it stands there. Whether it is new there.

    Memory holds no more than PART_BYTES of it. Raises OutputInvalid where other bytes stand by its
    name, and StoreUnavailable.
    """
    key = export_key(id, sha256)
    if _stands(store, key, sha256, size):
        return False
    pages = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    with pages, memoryview(pages) as body:
        won = isinstance(store.create(key, body, CONTENT_TYPE), Won)
    if won:
        return True
    _stands(store, key, sha256, size)
    return False


def _stands(store: SafeStore, key: str, sha256: str, size: int) -> bool:
    first = store.get(key, limit=PART_BYTES)
    if first is None:
        return False
    if first.size != size or _digest(store, key, first) != sha256:
        raise OutputInvalid(
            f"{key} has other bytes than its name says",
            field="key",
            value=key,
            hint="Somebody has overwritten it. Delete it, and export again.",
        )
    return True


def _digest(store: SafeStore, key: str, first: Stored) -> str:
    digest = hashlib.sha256(first.body)
    for offset in range(PART_BYTES, first.size, PART_BYTES):
        part = store.get(key, offset=offset, limit=PART_BYTES)
        digest.update(b"" if part is None else part.body)
    return digest.hexdigest()

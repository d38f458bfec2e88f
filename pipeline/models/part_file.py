"""The file in which a download collects what comes, until it is whole.

    .<file>.<start of its checksum>.<random>.part

No two versions of a file mix, and no two downloads write one file: two that begin in the same
second do the work twice, and each puts the same checked bytes in place. What an earlier one left is
continued under a new name; a rename succeeds for one of two that want it. Whether its download
still writes is told by a lock, which ends with its process. On a volume the lock reaches no other
machine, and needs not: what another's mount holds is a copy.
"""

import errno
import fcntl
import glob
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""What a file system says that has none."""


def part_of(path: Path, version: str) -> Path:
    """For one download. `version` tells one content from another."""
    return path.with_name(f".{path.name}.{version}.{uuid4().hex[:8]}.part")


def begun(part: Path) -> list[Path]:
    """What downloads of the same content write or have left, the longest first; no empty ones."""
    stem = part.name.rsplit(".", 2)[0]
    sizes = {each: size_of(each) for each in part.parent.glob(f"{glob.escape(stem)}*.part")}
    return sorted((each for each, size in sizes.items() if size), key=sizes.__getitem__)[::-1]


def size_of(part: Path) -> int:
    """Bytes; 0 of what is not there."""
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def collected(part: Path) -> Iterator[None]:
    """`part` is there and this download's own, with what an earlier one left."""
    part.parent.mkdir(parents=True, exist_ok=True)
    earlier = (_taken_over(each, part) for each in begun(part))
    with next((file for file in earlier if file is not None), None) or _new(part):
        yield


def remove_left(part: Path) -> None:
    """What nobody writes of the same content, once that is in its place."""
    for each in begun(part):
        with suppress(FileNotFoundError), each.open("r+b") as file:
            if _lock(file):
                each.unlink()


def _new(part: Path) -> BinaryIO:
    file = part.open("xb")
    _lock(file)  # nobody takes an empty one
    return file


def _taken_over(earlier: Path, part: Path) -> BinaryIO | None:
    try:
        file = earlier.open("r+b")
    except FileNotFoundError:
        return None
    try:
        if _lock(file):
            earlier.rename(part)
            return file
    except FileNotFoundError:
        pass  # another download was quicker
    file.close()
    return None


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True

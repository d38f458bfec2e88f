"""Downloads weight files: resumable, checked by sha256, each appearing whole or not at all."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from config.errors import DiskFull, ModelCorrupt, ModelError, ModelGated, ModelNotFound
from config.models import WeightFile
from pipeline.models.hub import Hub, Remote, page
from pipeline.models.models_folder import State, glance, path_of, sha256_of
from pipeline.models.part_file import begun, collected, part_of, remove_left, size_of

ALONE_S = 60.0
"""A file that was not written for so long is nobody's; a download writes several times a second."""
SPARE_BYTES = 2**30
"""Left free on the disk."""

OnFile = Callable[[WeightFile, int], None]
"""Is told how many bytes of a file have come."""
FreeBytes = Callable[[Path], int]
"""Bytes that are free on the disk of a folder."""


@dataclass(frozen=True)
class Wanted:
    """A file to be pulled."""

    weight: WeightFile
    remote: Remote
    path: Path
    part: Path
    """Where it is collected until it is whole."""

    @property
    def expected_sha256(self) -> str | None:
        """The table's, else the hub's; None where neither knows it."""
        return self.weight.sha256 or self.remote.sha256

    @property
    def expected_bytes(self) -> int | None:
        """The table's, else the hub's; None where neither knows it."""
        return self.weight.bytes or self.remote.bytes

    @property
    def there(self) -> int:
        """Bytes that an earlier try has left."""
        return max(map(size_of, begun(self.part)), default=0)


@dataclass(frozen=True)
class Pulled:
    weight: WeightFile
    path: Path
    bytes: int
    sha256: str
    revision: str | None
    """The commit that the hub answered for."""
    resumed_at: int
    """Bytes that an earlier try had left."""
    seconds: float


def free_bytes(folder: Path) -> int:
    """Of the disk on which the folder lies, or will lie."""
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return usage.free if usage.total else sys.maxsize  # some mounted volumes count nothing


def prepare(weights: Iterable[WeightFile], folder: Path, hub: Hub) -> list[Wanted]:
    """What is missing, after asking for each file: gates are found before hours of downloads.

    Raises ModelGated with every page to accept, or another ModelError.
    """
    wanted: list[Wanted] = []
    gates: dict[str, ModelGated] = {}
    for weight in weights:
        if glance(folder, weight).state in (State.OK, State.UNPROVEN):
            continue
        if weight.repository is None:
            raise _own(weight)
        try:
            remote = hub.look(weight)
        except ModelGated as error:
            gates.setdefault(page(weight), error)
            continue
        _require_same(weight, remote)
        wanted.append(_wanted(weight, remote, folder))
    if gates:
        raise ModelGated(
            "; ".join(error.message for error in gates.values()),
            hint=f"Accept each licence on {', '.join(gates)}, then set HF_TOKEN to a token of that"
            " account.",
        )
    return wanted


def require_space(wanted: Iterable[Wanted], folder: Path, free: FreeBytes = free_bytes) -> int:
    """The bytes that are still to come. Raises DiskFull."""
    needed = sum(max((each.expected_bytes or 0) - each.there, 0) for each in wanted)
    room = free(folder)
    if needed and needed + SPARE_BYTES > room:
        raise DiskFull(
            f"{needed:,} bytes are to come and {folder} has room for {room:,},"
            f" of which {SPARE_BYTES:,} stay free",
            hint="Free some space, name another folder with RYLA_MODELS_DIR, or pull fewer sets.",
        )
    return needed


def pull(wanted: Iterable[Wanted], hub: Hub, on_file: OnFile, streams: int = 1) -> Iterator[Pulled]:
    """Each file as soon as it is whole; with one stream, in the order given.

    A stream is one request of the hub's, which is slower than the network. Raises a ModelError
    (ModelCorrupt, HubUnavailable, ModelGated, ModelNotFound) once the other streams have ended;
    what came of a file is kept for the next try, unless it is corrupt.
    """
    if streams == 1:
        yield from (_pull(each, hub, on_file) for each in wanted)
        return
    with ThreadPoolExecutor(streams) as pool:
        coming = [pool.submit(_pull, each, hub, on_file) for each in wanted]
        try:
            for done in as_completed(coming):
                yield done.result()
        finally:
            for each in coming:
                each.cancel()


def _pull(each: Wanted, hub: Hub, on_file: OnFile) -> Pulled:
    started = time.monotonic()
    with collected(each.part):
        if size_of(each.part) > (each.expected_bytes or sys.maxsize):
            os.truncate(each.part, 0)
        resumed_at = size_of(each.part)
        hub.download(each.weight, each.remote, each.part, partial(on_file, each.weight))
        sha256 = _require_whole(each)
        os.replace(each.part, each.path)
    remove_left(each.part)
    return Pulled(
        each.weight,
        each.path,
        each.path.stat().st_size,
        sha256,
        each.remote.revision,
        resumed_at,
        time.monotonic() - started,
    )


def require_alone(wanted: Iterable[Wanted], now: float) -> None:
    """Raises ModelError where another download is seen to write one of the files: the work would
    be done twice. That two begin at once is not seen, and does no other harm.

    `now` is in seconds since 1970. After a download that was cut, the next one waits so long.
    """
    for part in (part for each in wanted for part in begun(each.part)):
        age = now - part.stat().st_mtime
        if age < ALONE_S:
            raise ModelError(
                f"{part.name} was written {max(0.0, age):.0f} s ago: another download runs",
                value=part.name,
                hint=f"Wait until it has ended; after one that was cut, {ALONE_S:.0f} s.",
            )


def _wanted(weight: WeightFile, remote: Remote, folder: Path) -> Wanted:
    path = path_of(folder, weight)
    # Of another version of the file nothing can be continued.
    version = (weight.sha256 or remote.sha256 or weight.revision or "unknown")[:12]
    return Wanted(weight, remote, path, part_of(path, version))


def _require_same(weight: WeightFile, remote: Remote) -> None:
    for what, ours, theirs in (
        ("bytes", weight.bytes, remote.bytes),
        ("sha256", weight.sha256, remote.sha256),
    ):
        if ours is not None and theirs is not None and ours != theirs:
            raise ModelCorrupt(
                f"{weight.repository}/{weight.path}: {what} there is {theirs}, the table says"
                f" {ours}",
                value=weight.name,
                hint="Another file is published under that name now. If it is the one you want,"
                " write its facts into the file of RYLA_MODELS_FILE.",
            )


def _require_whole(each: Wanted) -> str:
    """The sha256 of what came. What is wrong is thrown away."""
    size = each.part.stat().st_size
    sha256 = sha256_of(each.part)
    expected = (each.expected_bytes or size, each.expected_sha256 or sha256)
    if (size, sha256) == expected:
        return sha256
    each.part.unlink()
    raise ModelCorrupt(
        f"{each.weight.repository}/{each.weight.path}: {size:,} bytes with sha256 {sha256} came,"
        f" expected were {expected[0]:,} with {expected[1]}",
        value=each.weight.name,
        hint="It was thrown away. Pull again; if it happens again, do not use this source.",
    )


def _own(weight: WeightFile) -> ModelNotFound:
    return ModelNotFound(
        f"{weight.file} is your own file and is not in the models folder",
        value=weight.name,
        hint=f"Put it at {weight.folder}/{weight.file}, or run `ryla models add` again.",
    )

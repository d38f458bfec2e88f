"""The workers' own store of LoRA files: each file pulled once, kept under its sha256.

    files/<sha256>.safetensors    the LoRAs
    index/<of key and etag>.json  which file an object of the bucket is
    used/<sha256>                 when it was last used, for eviction
    part/<random>                 being pulled

A file appears whole (temporary name, then rename), so two workers that pull the same one at once
only do the work twice. A replaced object has a new etag, hence another index entry. Times of use
are files because a shared volume need not keep the times of files.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from config.errors import LoraUnreadable
from config.settings import Settings
from pipeline.loras.bucket import ENDING, Found, Replaced

FILES = "files"
"""Folder of the LoRAs in a volume: what ComfyUI looks into."""

USE_NOTED_S = 600
"""A use is written down when the last one noted is older than this."""
GRACE_S = 3600
"""What was used, or is being written, within this is not evicted."""


class VolumeBusy(Exception):
    """The volume cannot be reloaded now: a file on it is open."""


class Volume(Protocol):
    """A folder shared between machines: others see what was committed once they reload."""

    @property
    def folder(self) -> Path: ...

    def reload(self) -> None:
        """See what others committed. Raises VolumeBusy."""

    def commit(self) -> None:
        """Let others see what was written here; of one file, the last write wins."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder of this machine: every process sees every write at once."""

    folder: Path

    def reload(self) -> None:
        pass

    def commit(self) -> None:
        pass


@dataclass(frozen=True)
class CachedLora:
    """A LoRA that lies on disk."""

    path: Path
    sha256: str
    bytes: int
    downloaded: bool
    """Whether it was pulled for this; else it was on disk."""
    seconds: float
    """To find or to pull it."""


class LoraCache:
    """`spare` is a folder of this machine alone, for when the volume cannot be reloaded."""

    def __init__(
        self,
        volume: Volume,
        spare: Path,
        *,
        max_file_bytes: int = 2 * 2**30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._volume = volume
        self._spare = spare
        self._max_file_bytes = max_file_bytes
        self._clock = clock

    def fetch(self, found: Found, download: Callable[[Found], Iterable[bytes]]) -> CachedLora:
        """The file of `found`, pulled if no folder has it.

        Raises Replaced if the download is of another object, LoraUnreadable if it is too large.
        """
        begun = time.monotonic()
        folder, kept = self._find(found)
        downloaded = kept is None
        path, sha256 = kept or self._pull(folder, found, download)
        noted = _note_use(folder, sha256, self._clock())
        if folder == self._volume.folder and (downloaded or noted):
            self._volume.commit()
        return CachedLora(path, sha256, found.size, downloaded, time.monotonic() - begun)

    def _find(self, found: Found) -> tuple[Path, tuple[Path, str] | None]:
        """The folder that has the file, or that it is to be pulled into."""
        shared = self._volume.folder
        for folder in (shared, self._spare):
            if kept := _look(folder, found):
                return folder, kept
        try:
            self._volume.reload()
        except VolumeBusy:
            return self._spare, None
        return shared, _look(shared, found)

    def _pull(
        self, folder: Path, found: Found, download: Callable[[Found], Iterable[bytes]]
    ) -> tuple[Path, str]:
        if found.size > self._max_file_bytes:
            raise LoraUnreadable(
                f"{found.key} has {found.size:,} bytes, the limit is {self._max_file_bytes:,}",
                value=found.size,
                hint="A LoRA of this size is probably a whole model.",
            )
        part = _part(folder)
        try:
            sha256 = _write_hashed(part, download(found), found)
            path = _file(folder, sha256)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        record = {"key": found.key, "etag": found.etag, "sha256": sha256}
        _write(folder, _index(folder, found), json.dumps(record).encode())
        return path, sha256


def evict(volume: Volume, limit_bytes: int, *, now: float) -> list[str]:
    """Delete the longest unused files until `limit_bytes` hold the rest; their sha256s.

    For one owner only, never a worker: a worker cannot see what others are about to load. `now` is
    in seconds since 1970, as the times of use are. Raises VolumeBusy.
    """
    volume.reload()
    folder = volume.folder
    files = [(_last_use(folder, path), path) for path in (folder / FILES).glob(f"*{ENDING}")]
    total = sum(path.stat().st_size for _, path in files)
    gone: list[str] = []
    for used, path in sorted(files):
        if total <= limit_bytes or used > now - GRACE_S:
            break
        total -= path.stat().st_size
        path.unlink()
        (folder / "used" / path.stem).unlink(missing_ok=True)
        gone.append(path.stem)
    _sweep(folder, set(gone), now - GRACE_S)
    volume.commit()
    return gone


def _sweep(folder: Path, gone: set[str], before: float) -> None:
    """Index entries of evicted files, and what a killed worker left half pulled."""
    for path in (folder / "index").glob("*.json"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            if json.loads(path.read_bytes())["sha256"] in gone:
                path.unlink()
    for path in (folder / "part").glob("*"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()


def _last_use(folder: Path, path: Path) -> float:
    try:
        return float((folder / "used" / path.stem).read_text())
    except (OSError, ValueError):
        return path.stat().st_mtime


def _look(folder: Path, found: Found) -> tuple[Path, str] | None:
    """Path and sha256, if the file is there and whole."""
    try:
        sha256 = str(json.loads(_index(folder, found).read_bytes())["sha256"])
        path = _file(folder, sha256)
        return (path, sha256) if path.stat().st_size == found.size else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _note_use(folder: Path, sha256: str, now: float) -> bool:
    """Whether the use had to be written down."""
    path = folder / "used" / sha256
    with suppress(OSError, ValueError):
        if now - float(path.read_text()) < USE_NOTED_S:
            return False
    _write(folder, path, str(int(now)).encode())
    return True


def _file(folder: Path, sha256: str) -> Path:
    return folder / FILES / f"{sha256}{ENDING}"


def _index(folder: Path, found: Found) -> Path:
    digest = hashlib.sha256(json.dumps([found.key, found.etag]).encode()).hexdigest()
    return folder / "index" / f"{digest}.json"


def _part(folder: Path) -> Path:
    (folder / "part").mkdir(parents=True, exist_ok=True)
    return folder / "part" / uuid4().hex


def _write(folder: Path, path: Path, body: bytes) -> None:
    part = _part(folder)
    part.write_bytes(body)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, path)


def _write_hashed(part: Path, chunks: Iterable[bytes], found: Found) -> str:
    """The sha256 of what was written. Raises Replaced if it is not as long as what was found."""
    digest = hashlib.sha256()
    with part.open("xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
        if file.tell() != found.size:
            raise Replaced(f"{found.key}: {file.tell():,} bytes came, {found.size:,} were listed")
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def lora_folder(settings: Settings) -> Path:
    """The setting's, else loras in the state folder."""
    return (settings.lora_dir or settings.state_dir / "loras").absolute()


def spare_folder(work_dir: Path) -> Path:
    """For LoRAs while the shared folder cannot be reloaded."""
    return work_dir.absolute() / "loras"


def lora_folders(settings: Settings, work_dir: Path) -> tuple[Path, ...]:
    """Where ComfyUI must look for the files that the cache keeps."""
    return (lora_folder(settings) / FILES, spare_folder(work_dir) / FILES)


def lora_cache(settings: Settings, work_dir: Path, volume: Volume | None = None) -> LoraCache:
    """`volume` where the folder of LoRAs is shared between machines."""
    return LoraCache(
        volume or LocalFolder(lora_folder(settings)),
        spare_folder(work_dir),
        max_file_bytes=settings.lora_file_mib * 2**20,
    )

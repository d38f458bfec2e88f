"""The models folder: what lies in it, compared with the table."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from config.errors import InvalidSetting
from config.models import WeightFile
from config.settings import Settings

CHUNK = 4 * 2**20
"""Bytes that are read at a time."""

OnBytes = Callable[[int], None]
"""Is told how many bytes of a file are done."""


class State(StrEnum):
    OK = "ok"
    MISSING = "missing"
    UNPROVEN = "unproven"
    """There, and the table has no checksum to hold it against."""
    WRONG = "wrong"
    """Of another length or checksum than the table says."""


@dataclass(frozen=True)
class Local:
    """A weight file of the table, as it was found in the models folder."""

    weight: WeightFile
    path: Path
    state: State
    bytes: int | None = None
    sha256: str | None = None
    """Of its content, where that was read."""
    why: str | None = None
    """What is wrong."""


def models_folder(settings: Settings) -> Path:
    """Raises InvalidSetting when no setting names one."""
    if settings.models_dir is not None:
        return settings.models_dir
    if settings.comfyui_dir is not None:
        return settings.comfyui_dir / "models"
    raise InvalidSetting(
        "no models folder is named",
        field="RYLA_MODELS_DIR",
        hint="Set RYLA_MODELS_DIR, or RYLA_COMFYUI_DIR for its folder models, or give --dir.",
    )


def path_of(folder: Path, weight: WeightFile) -> Path:
    return folder / weight.folder / weight.file


def glance(folder: Path, weight: WeightFile) -> Local:
    """By size alone: OK means that the length is right."""
    path = path_of(folder, weight)
    if not path.is_file():
        return Local(weight, path, State.MISSING)
    size = path.stat().st_size
    if weight.bytes is None:
        return Local(weight, path, State.UNPROVEN, size)
    if size != weight.bytes:
        why = f"it has {size:,} bytes, the table says {weight.bytes:,}"
        return Local(weight, path, State.WRONG, size, why=why)
    return Local(weight, path, State.OK, size)


def check_file(folder: Path, weight: WeightFile, on_bytes: OnBytes) -> Local:
    """Reads the whole file, unless its length is wrong already. Raises OSError."""
    seen = glance(folder, weight)
    if seen.state in (State.MISSING, State.WRONG):
        return seen
    sha256 = sha256_of(seen.path, on_bytes)
    if weight.sha256 is None:
        return Local(weight, seen.path, State.UNPROVEN, seen.bytes, sha256)
    if sha256 != weight.sha256:
        why = f"its sha256 is {sha256}, the table says {weight.sha256}"
        return Local(weight, seen.path, State.WRONG, seen.bytes, sha256, why)
    return Local(weight, seen.path, State.OK, seen.bytes, sha256)


def sha256_of(path: Path, on_bytes: OnBytes | None = None) -> str:
    """In hex. `on_bytes` is called after each CHUNK. Raises OSError."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if on_bytes is not None:
                on_bytes(done)
    return digest.hexdigest()

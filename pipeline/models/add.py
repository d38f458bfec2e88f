"""Registers a checkpoint of the operator's own, such as an uncensored one."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.errors import DiskFull, InvalidInput, LoraUnreadable
from config.models import ModelTable, WeightFile
from handlers.kinds.checkpoint import UNCENSORED_SUFFIX
from handlers.loras.header import FileRanges, read_header
from pipeline.models.models_folder import CHUNK, OnBytes, path_of
from pipeline.models.overlay import Changes
from pipeline.models.pull import SPARE_BYTES, FreeBytes, free_bytes
from pipeline.models.versions import place

REPLACED = ("unet", "checkpoint")
"""The role that an own checkpoint takes in its set."""
HALLMARKS = {
    "flux": ("double_blocks.0.", "transformer_blocks.0."),
    "z-image": ("layers.0.", "noise_refiner.0."),
    "sdxl": ("input_blocks.", "down_blocks."),
}
"""By family, what its tensors' names hold, some in this form, some in that."""


@dataclass(frozen=True)
class Added:
    """A checkpoint that now lies in the models folder."""

    path: Path
    bytes: int
    sha256: str
    changes: Changes
    """To be written into the operator's models.toml."""


def base_set(name: str, models: ModelTable) -> str:
    """The set that `flux-dev-uncensored` is a variant of. Raises InvalidInput."""
    base = name.removesuffix(UNCENSORED_SUFFIX)
    if base != name and base in models.sets and _role(models, base):
        return base
    possible = [f"{each}{UNCENSORED_SUFFIX}" for each in models.sets if _role(models, each)]
    raise InvalidInput(
        f"{name!r} is no variant of a set",
        field="--as",
        value=name,
        hint=f"Possible: {', '.join(possible)}.",
    )


def add(
    file: Path,
    name: str,
    models: ModelTable,
    folder: Path,
    *,
    licence: str,
    commercial_use: bool,
    on_bytes: OnBytes,
    kept: Sequence[WeightFile] = (),
    free: FreeBytes = free_bytes,
) -> Added:
    """Copy it into the models folder under the name of its set, beside an earlier one if that is
    among the files `kept`. Raises InvalidInput or DiskFull."""
    base = base_set(name, models)
    role = _role(models, base)
    like = models.weights(base)[role]
    _require_family(file, like)
    size = file.stat().st_size
    if size + SPARE_BYTES > free(folder):
        raise DiskFull(f"{folder} has no room for {size:,} bytes and {SPARE_BYTES:,} to spare")
    part = folder / like.folder / f".{name}.safetensors.part"
    try:
        sha256 = _copy(file, part, on_bytes)
        row: dict[str, str | int | bool] = {
            "folder": like.folder,
            "file": f"{name}.safetensors",
            "family": like.family,
            "bytes": size,
            "sha256": sha256,
            "licence": licence,
            "commercial_use": commercial_use,
            "verified": True,
        }
        weight = place(WeightFile.model_validate({"name": name, **row}), kept)
        target = path_of(folder, weight)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    row["file"] = weight.file
    roles: dict[str, str | int | bool] = {**models.sets[base], role: name}
    return Added(target, size, sha256, {("weights", name): row, ("sets", name): roles})


def _role(models: ModelTable, set_name: str) -> str:
    return next((role for role in REPLACED if role in models.sets[set_name]), "")


def _require_family(file: Path, like: WeightFile) -> None:
    try:
        tensors = read_header(FileRanges(file)).tensors
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}", value=str(file)) from None
    except LoraUnreadable as error:
        raise InvalidInput(
            f"{file}: {error.message}", value=str(file), hint="Save the checkpoint as safetensors."
        ) from None
    marks = HALLMARKS[like.family]
    if not any(mark in tensor for tensor in tensors for mark in marks):
        raise InvalidInput(
            f"{file} holds no {like.family} model: no tensor's name has {' or '.join(marks)}",
            value=str(file),
            hint="Check which model it is for; a LoRA is added with `ryla loras add`.",
        )


def _copy(file: Path, part: Path, on_bytes: OnBytes) -> str:
    """The sha256."""
    part.parent.mkdir(parents=True, exist_ok=True)
    digest, done = hashlib.sha256(), 0
    with file.open("rb") as source, part.open("wb") as copy:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
            done += len(chunk)
            on_bytes(done)
        copy.flush()
        os.fsync(copy.fileno())
    return digest.hexdigest()

"""The LoRA files of a plan, put into the bucket as `ryla loras add` does."""

import hashlib
from pathlib import Path

from config.errors import InvalidInput, LoraError
from config.settings import Settings
from handlers.loras.header import BytesRanges
from pipeline.acceptance.acceptance_plan import LoraPart, PlannedLora
from pipeline.loras import library
from pipeline.loras.bucket import Sidecar
from pipeline.loras.library import describe_file
from pipeline.loras.resolve import resolve
from pipeline.models.activation import models_in_use
from pipeline.store.conditional import SafeStore

BASE = "flux-dev"


def upload(store: SafeStore, part: LoraPart, folder: Path, settings: Settings) -> list[str]:
    """The keys of all, those of files that were there already too.

    Raises a LoraError for a file that no job could use, or a LoRA that is neither given nor there;
    InvalidInput where another file has its place.
    """
    return [_uploaded(store, lora, folder, settings) for lora in part.files]


def _uploaded(store: SafeStore, lora: PlannedLora, folder: Path, settings: Settings) -> str:
    prefix = settings.lora_prefix
    if lora.file is None:
        return resolve(store, lora.ref, prefix).key
    key = library.place(lora.ref, prefix)
    body = _read(folder / lora.file, settings)
    try:
        seen = describe_file(key, BytesRanges(body), library.bases(models_in_use(settings)), BASE)
        if seen.error is not None:
            raise seen.error
    except LoraError as error:
        error.message = f"{lora.file}: {error.message}"
        raise
    sidecar = Sidecar(
        trigger_word=lora.trigger_word,
        family=seen.lora.family,
        sha256=hashlib.sha256(body).hexdigest(),
        character=lora.id,
    )
    library.add(store, key, body, sidecar)
    return key


def _read(file: Path, settings: Settings) -> bytes:
    limit = settings.lora_file_mib * 2**20
    if file.stat().st_size > limit:
        raise InvalidInput(
            f"{file} has more than {limit:,} bytes",
            field="loras.files.file",
            value=str(file),
            hint="RYLA_LORA_FILE_MIB is the limit.",
        )
    return file.read_bytes()

"""What a job needs from the bucket: looked at before a GPU starts, fetched on the worker, and
handed to its handler with the rest of the job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.errors import InvalidInput, MissingInput
from handlers.kinds.base import Brief
from handlers.kinds.registry import KINDS
from handlers.kinds.requirements import LoraFile, LoraWish, Needs, Supplies
from handlers.kinds.seeds import seed_from_id
from handlers.media import images
from pipeline.contract.manifest import Manifest
from pipeline.loras.cache import Kept, LoraCache
from pipeline.loras.fetch import Examined, examine, obtain
from pipeline.models.face_packs import require_boxes
from pipeline.runtime import Bench
from pipeline.store.conditional import SafeStore

NO_SUPPLIES = Supplies()


def needs(manifest: Manifest, bench: Bench) -> Needs:
    return KINDS[manifest.model].needs(manifest.input, bench.models)


@dataclass(frozen=True)
class Inspector:
    """Before a GPU starts: reads headers, pulls nothing."""

    store: SafeStore
    bench: Bench

    def check(self, manifest: Manifest) -> None:
        """Raises what is missing or does not fit: a LoraError, InvalidInput, FaceModelsMissing."""
        wanted = needs(manifest, self.bench)
        if wanted.face_boxes:
            require_boxes(self.bench.settings)
        for name, key in wanted.pictures.items():
            read_picture(self.store, name, key)
        if wanted.lora is not None:
            wish, prefix = wanted.lora, self.bench.settings.lora_prefix
            examine(self.store, wish.ref, wish.base, prefix)


def read_picture(store: SafeStore, name: str, key: str) -> bytes:
    """A picture of the bucket, decoded within the limits of intake and made harmless.

    Raises MissingInput, or InvalidInput for what is no picture or too large a one.
    """
    where = f"input.{name}"
    stored = store.get(key, limit=images.MAX_INTAKE_BYTES + 1)
    if stored is None:
        raise MissingInput(f"{key} is not in the bucket", field=where, value=key)
    try:
        return images.intake(stored.body)[1]
    except InvalidInput as error:
        raise InvalidInput(
            f"{key}: {error.message}", field=where, value=key, hint=error.hint
        ) from error


@dataclass(frozen=True)
class Supplier:
    """On the worker: everything is there and checked when a handler runs."""

    store: SafeStore
    loras: LoraCache
    prefix: str

    def fetch_pictures(self, keys: Mapping[str, str]) -> Mapping[str, bytes]:
        """Field → picture. Raises InvalidInput."""
        return {name: read_picture(self.store, name, key) for name, key in keys.items()}

    def fetch_lora(self, wish: LoraWish) -> tuple[Examined, Kept]:
        """Raises a LoraError."""
        return obtain(self.store, self.loras, wish.ref, wish.base, self.prefix)


def supplies(examined: Examined, kept: Kept) -> Supplies:
    return Supplies(
        LoraFile(
            file=kept.path.name,
            key=examined.found.key,
            sha256=kept.sha256,
            trigger_word=examined.sidecar.trigger_word,
        )
    )


def brief(
    id: str, attempt: int, manifest: Manifest, supplies: Supplies = NO_SUPPLIES
) -> Brief[Any]:
    """The job as its handler sees it; a missing seed comes from the id, so a retry repeats it."""
    seed = getattr(manifest.input, "seed", None)
    chosen = seed_from_id(id) if seed is None else seed
    return Brief(id, attempt, manifest.input, chosen, supplies)

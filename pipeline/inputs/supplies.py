"""What a job needs from the bucket: looked at before a GPU starts, fetched on the worker, and
handed to its handler with the rest of the job."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from config.errors import InvalidInput, MissingInput, RylaError
from handlers.faces.match import require_above_strangers
from handlers.kinds.base import JobRequest
from handlers.kinds.registry import KINDS
from handlers.kinds.requirements import LoraFile, LoraRequest, RequiredInputs, Supplies
from handlers.kinds.seeds import seed_from_id
from handlers.loras.refs import ById, ByName
from handlers.media import images
from handlers.media.intake_process import Intake
from pipeline.contract.manifest import Manifest
from pipeline.inputs.graph_limits import require_within_limits
from pipeline.loras.cache import CachedLora, LoraCache
from pipeline.loras.fetch import CheckedLora, check_lora, fetch_lora
from pipeline.loras.resolve import places
from pipeline.models.face_packs import read_calibration, require_boxes
from pipeline.runtime import RuntimeConfig
from pipeline.sheets.reuse import check_reuse
from pipeline.store.conditional import SafeStore

NO_SUPPLIES = Supplies()


def required_inputs(manifest: Manifest, runtime: RuntimeConfig) -> RequiredInputs:
    return KINDS[manifest.model].required_inputs(manifest.input, runtime.models)


@dataclass(frozen=True)
class InputChecker:
    """Before a GPU starts: reads headers, pulls nothing."""

    store: SafeStore
    runtime: RuntimeConfig
    intake: Intake = images.intake

    def check(self, manifest: Manifest) -> str | None:
        """The key of the job's LoRA, None without one.

        Raises what is missing or does not fit: a LoraError, InvalidInput, FaceModelsMissing, or
        GraphRejected for a caller's graph that its pictures make too large.
        """
        required = required_inputs(manifest, self.runtime)
        if required.face_boxes:
            require_boxes(self.runtime.settings)
        if required.min_face_similarity is not None:
            calibration = read_calibration(self.runtime.settings)
            require_above_strangers(required.min_face_similarity, calibration)
        pictures = {
            name: images.size(read_image(self.store, name, key, self.intake))
            for name, key in required.images.items()
        }
        if pictures:
            require_within_limits(manifest, self.runtime, pictures)
        lora = self._lora(required.lora, manifest.tenant)
        check_reuse(self.store, manifest, lora)
        return lora

    def _lora(self, request: LoraRequest | None, tenant: str) -> str | None:
        if request is None:
            return None
        prefix = self.runtime.settings.lora_prefix
        return check_lora(self.store, request.ref, request.base, prefix, tenant).found.key


def lora_places(input: Mapping[str, Any], prefix: str) -> tuple[str, ...]:
    """Where the LoRA of a job may lie, from the input of a manifest that was not checked yet: keys,
    or a folder that ends in /. Empty for an input that names no LoRA, or none that can be."""
    version = input.get("lora_version")
    for kind, name in ((ById, input.get("lora_id")), (ByName, input.get("lora_name"))):
        if isinstance(name, str):
            ref = kind(name, version if isinstance(version, str) else None)
            with suppress(RylaError):
                return tuple(places(ref, prefix))
    return ()


def read_image(store: SafeStore, name: str, key: str, intake: Intake = images.intake) -> bytes:
    """A picture of the bucket, decoded within the limits of intake and made harmless.

    Raises MissingInput, or InvalidInput for what is no picture or too large a one.
    """
    where = f"input.{name}"
    stored = store.get(key, limit=images.MAX_INTAKE_BYTES + 1)
    if stored is None:
        raise MissingInput(f"{key} is not in the bucket", field=where, value=key)
    try:
        return intake(stored.body)[1]
    except InvalidInput as error:
        raise InvalidInput(
            f"{key}: {error.message}", field=where, value=key, hint=error.hint
        ) from error


@dataclass(frozen=True)
class InputFetcher:
    """On the worker: everything is there and checked when a handler runs."""

    store: SafeStore
    loras: LoraCache
    prefix: str
    """Under which LoRAs lie in the bucket."""

    def fetch_images(self, keys: Mapping[str, str]) -> Mapping[str, bytes]:
        """Field of the input → picture. Raises InvalidInput."""
        return {name: read_image(self.store, name, key) for name, key in keys.items()}

    def fetch_lora(
        self, request: LoraRequest, tenant: str | None = None
    ) -> tuple[CheckedLora, CachedLora]:
        """Raises a LoraError."""
        return fetch_lora(self.store, self.loras, request.ref, request.base, self.prefix, tenant)


def supplies(checked: CheckedLora, kept: CachedLora) -> Supplies:
    return Supplies(
        LoraFile(
            file=kept.path.name,
            key=checked.found.key,
            sha256=kept.sha256,
            trigger_word=checked.sidecar.trigger_word,
        )
    )


def job_request(
    id: str, attempt: int, manifest: Manifest, supplies: Supplies = NO_SUPPLIES
) -> JobRequest[Any]:
    """The job as its handler sees it; a missing seed comes from the id, so a retry repeats it."""
    seed = getattr(manifest.input, "seed", None)
    chosen = seed_from_id(id) if seed is None else seed
    return JobRequest(id, attempt, manifest.input, chosen, supplies)

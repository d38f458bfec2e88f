"""The manifest that makes the views of an ended sheet again with a trained LoRA."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.errors import LoraNotFound
from config.models import ModelTable
from handlers.character_sheet.input import STEPS, CharacterSheetInput
from handlers.character_sheet.person import BaseName
from handlers.character_sheet.planner import composition_weights
from handlers.kinds.lora_fields import lora_base
from handlers.kinds.seeds import seed_from_id
from handlers.loras.bases import Base
from handlers.loras.refs import LoraRef
from pipeline.contract.document import read_document
from pipeline.loras.bucket import ENDING, BucketRanges, read_sidecar
from pipeline.loras.library import fitting, read_lora
from pipeline.loras.resolve import not_found, resolve
from pipeline.sheets.ended_sheet import EndedSheet
from pipeline.store.conditional import SafeStore

_OF_REFERENCES = (
    *("reference_images", "reuse", "min_face_match"),
    *("instantid_strength", "controlnet_strength", "denoise", "face_steps", "face_cfg"),
)
_OF_THE_LORA = ("lora_id", "lora_name", "lora_version", "lora_strength", "trigger_word")
_OF_THE_BASE = ("steps", "cfg", "guidance", "sdxl_checkpoint", "negative_prompt")
"""Fields of the input that go with what another sheet does not have."""


@dataclass(frozen=True)
class TrainedLora:
    key: str
    """In the bucket."""
    name: str
    """As `lora_name` has it: this one file, whatever is trained later."""
    base: BaseName
    """That it was trained for."""


def find_trained(
    store: SafeStore, ref: LoraRef, tenant: str, models: ModelTable, prefix: str
) -> TrainedLora:
    """The LoRA that is meant, and the base of a sheet with it. Raises a LoraError; LoraNotFound for
    one of other tenants."""
    found = resolve(store, ref, prefix)
    if not read_sidecar(store, found).is_for(tenant):
        raise not_found(store, ref, prefix, tenant)
    known = _bases(models)
    name = fitting(read_lora(BucketRanges(store, found)), known)
    base = next((each for each in STEPS if each == name), None)
    if base is None:
        raise LoraNotFound(f"no sheet is made with a LoRA for {name}", value=found.key)
    return TrainedLora(found.key, found.key.removeprefix(prefix).removesuffix(ENDING), base)


def comparison_manifest(
    sheet: EndedSheet, lora: TrainedLora, max_cost_usd: float | None = None
) -> dict[str, Any]:
    """The sheet's own manifest, but that the LoRA alone says who is seen: the same views and seeds
    on its base. Nobody is called back for it, and it has no deadline. `max_cost_usd` stands for
    that of the sheet.

    Raises as `EndedSheet.request` does.
    """
    document, request = read_document(sheet.manifest), sheet.request
    if max_cost_usd is not None:
        document["max_cost_usd"] = max_cost_usd
    given: dict[str, Any] = {**document["input"]}
    dropped = [*_OF_REFERENCES, *_OF_THE_LORA]
    if lora.base != request.base:
        dropped += _OF_THE_BASE
    for name in dropped:
        given.pop(name, None)
    for name in ("deadline", "callback_url"):
        document.pop(name, None)
    seed = seed_from_id(sheet.id) if request.seed is None else request.seed
    given |= {"base": lora.base, "lora_name": lora.name, "seed": seed}
    return {**document, "input": given}


def _bases(models: ModelTable) -> Mapping[str, Base]:
    """What a LoRA must fit, by the base of a sheet."""
    asked = (CharacterSheetInput(name="any", base=name, lora_id="any") for name in STEPS)
    weights = {request.base: composition_weights(request, models) for request in asked}
    return {
        name: lora_base(files.get("unet") or files["checkpoint"]) for name, files in weights.items()
    }

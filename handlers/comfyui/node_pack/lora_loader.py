"""LoraLoaderModelOnly's place, for models of our own loader."""

from importlib import import_module
from typing import Any

from .merged_loras import Lora, factors
from .model_loader import MERGED, WANTED


class RylaLora:
    """A clone of the model that is sampled with the LoRA."""

    CATEGORY = "ryla"
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        names = import_module("folder_paths").get_filename_list("loras")
        strength = {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}
        return {
            "required": {
                "model": ("MODEL",),
                "lora_name": (names,),
                "strength_model": ("FLOAT", strength),
            }
        }

    def apply(self, model: Any, lora_name: str, strength_model: float) -> tuple[Any]:
        paths, loras = import_module("folder_paths"), import_module("comfy.lora")
        path = paths.get_full_path_or_raise("loras", lora_name)
        state = import_module("comfy.utils").load_torch_file(path, safe_load=True)
        state = import_module("comfy.lora_convert").convert_lora(state)
        patches = loras.load_lora(state, loras.model_lora_keys_unet(model.model, {}))
        return (with_lora(model, lora_name, strength_model, patches),)


def with_lora(model: Any, name: str, strength: float, patches: dict[Any, Any]) -> Any:
    """By our merging where all of its LoRAs are plain, else all of them by ComfyUI's, in order."""
    patched = model.clone()
    wanted: tuple[Lora, ...] = patched.get_attachment(WANTED) or ()
    plain = factors(patches)
    if plain is not None and not patched.patches and patched.get_attachment(MERGED) is not None:
        lora = Lora(name, strength, plain, patches)
        patched.set_attachments(WANTED, (*wanted, lora))
        return patched
    for earlier in wanted:
        patched.add_patches(earlier.patches, earlier.strength)
    patched.set_attachments(WANTED, ())
    patched.add_patches(patches, strength)
    return patched

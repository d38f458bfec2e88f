"""Loads a diffusion model straight to the card, to stay where it lies: LoRAs are merged into it
there, and what was compiled for it stays valid. ComfyUI's dynamic memory casts weights layer by
layer instead.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from . import weight_file
from .compiled_blocks import CompiledBlocks
from .merged_loras import Lora, MergedLoras
from .operations import taking_weights_over
from .sampled import SAMPLED, Speed

KEY = "ryla"
MERGED = "ryla_merged_loras"
"""Attachment of a model: what is merged into its weights. Clones share it."""
WANTED = "ryla_loras"
"""Attachment of a model: the LoRAs that it is to be sampled with."""
SPEEDS = [Speed.EAGER.value, Speed.COMPILED.value]
ROOM_BYTES = 3_000_000_000
"""Left on the card for activations: 2.3 GB of Flux at 1024 x 1024, and the rest of ComfyUI."""


class RylaLoadDiffusionModel:
    """UNETLoader's place: the same model, faster to load and to sample where the card has room."""

    CATEGORY = "ryla"
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        names = import_module("folder_paths").get_filename_list("diffusion_models")
        return {"required": {"unet_name": (names,), "speed": (SPEEDS,)}}

    def load(self, unet_name: str, speed: str) -> tuple[Any]:
        paths = import_module("folder_paths")
        path = paths.get_full_path_or_raise("diffusion_models", unet_name)
        return (load(Path(path), Speed(speed)),)


class RylaLoadCheckpoint:
    """CheckpointLoaderSimple's place: the model at a fixed place, text encoders and VAE as ever."""

    CATEGORY = "ryla"
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        names = import_module("folder_paths").get_filename_list("checkpoints")
        return {"required": {"ckpt_name": (names,), "speed": (SPEEDS,)}}

    def load(self, ckpt_name: str, speed: str) -> tuple[Any, Any, Any]:
        paths = import_module("folder_paths")
        path = paths.get_full_path_or_raise("checkpoints", ckpt_name)
        model, clip, vae, *_ = import_module("comfy.sd").load_checkpoint_guess_config(
            path,
            output_vae=True,
            output_clip=True,
            embedding_directory=paths.get_folder_paths("embeddings"),
            disable_dynamic=True,
        )
        return prepared(model, Speed(speed)), clip, vae


def load(path: Path, speed: Speed, *, disable_dynamic: bool = True) -> Any:  # noqa: ARG001
    """A model patcher of ComfyUI's. `disable_dynamic` is what it asks of every loader; this one
    does it always."""
    management, sd = import_module("comfy.model_management"), import_module("comfy.sd")
    device = management.get_torch_device()
    head = weight_file.header(path)
    management.free_memory(head.size + ROOM_BYTES, device)
    if not _fits(head, management.get_free_memory(device)):
        return prepared(sd.load_diffusion_model(str(path), disable_dynamic=True), speed)
    state = weight_file.read(path, device)
    model = sd.load_diffusion_model_state_dict(
        state,
        model_options={"custom_operations": _operations(state, device)},
        metadata=dict(head.metadata),
        disable_dynamic=True,
    )
    if model is None:
        raise ValueError(f"{path.name} is no diffusion model that ComfyUI knows")
    model.cached_patcher_init = (load, (path, speed))
    model.patch_model(device_to=device)  # where it lies already, as ComfyUI's accounts now know
    return prepared(model, speed)


def _fits(head: weight_file.Header, free: int) -> bool:
    """Files in 8 bits need what ComfyUI's own loader knows of their scales."""
    return head.dtypes <= {torch.bfloat16, torch.float16, torch.float32} and (
        head.size + ROOM_BYTES <= free
    )


def _operations(state: dict[str, torch.Tensor], device: torch.device) -> Any:
    """ComfyUI's layers for this card: with casts where it cannot compute in the weights' type."""
    ops, management = import_module("comfy.ops"), import_module("comfy.model_management")
    config = import_module("comfy.model_detection").model_config_from_unet(state, "")
    if config is None:
        return ops.manual_cast
    kinds = list(config.supported_inference_dtypes)
    weights = import_module("comfy.utils").weight_dtype(state)
    own = management.unet_dtype(
        device=device, supported_dtypes=kinds, weight_dtype=weights, model_params=0
    )
    cast = management.unet_manual_cast(own, device, kinds)
    return taking_weights_over(ops.disable_weight_init if cast is None else ops.manual_cast)


def prepared(model: Any, speed: Speed) -> Any:
    """The model with LoRAs merged where it lies, and its blocks compiled."""
    kinds = import_module("comfy.patcher_extension").WrappersMP
    management = import_module("comfy.model_management")
    utils = import_module("comfy.utils")
    device = model.load_device

    def weight_of(key: str) -> torch.Tensor:
        weight: torch.Tensor = utils.get_attr(model.model, key)
        return weight.data

    def room() -> int:
        return int(management.get_free_memory(device)) - ROOM_BYTES

    merged = MergedLoras(weight_of, room)
    model.weight_inplace_update = True  # also where ComfyUI merges: addresses stay
    model.set_attachments(MERGED, merged)
    model.add_wrapper_with_key(kinds.PREPARE_SAMPLING, KEY, with_loras_merged)
    callbacks = import_module("comfy.patcher_extension").CallbacksMP
    model.add_callback_with_key(callbacks.ON_DETACH, KEY, lambda *_: merged.restore())
    sample = CompiledBlocks(model.model, is_idle=_nothing_waits).sample
    model.add_wrapper_with_key(
        kinds.APPLY_MODEL, KEY, sample if speed is Speed.COMPILED else as_it_is
    )
    return model


def as_it_is(executor: Any, *arguments: Any, **options: Any) -> Any:
    """A wrapper of APPLY_MODEL: a step by ComfyUI's own arithmetic."""
    SAMPLED.note(Speed.EAGER)
    return executor(*arguments, **options)


def with_loras_merged(executor: Any, model: Any, *arguments: Any, **options: Any) -> Any:
    """A wrapper of PREPARE_SAMPLING: ComfyUI loads the model between the two halves."""
    merged: MergedLoras = model.get_attachment(MERGED)
    wanted: tuple[Lora, ...] = model.get_attachment(WANTED) or ()
    if model.patches:  # of its own, to be added to weights as they were
        merged.restore()
    out = executor(model, *arguments, **options)
    merged.apply(wanted)
    return out


def _nothing_waits() -> bool:
    server: Any = sys.modules.get("server")
    return server is None or server.PromptServer.instance.prompt_queue.get_tasks_remaining() == 0

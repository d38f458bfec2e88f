"""Loads a diffusion model straight to the card, to stay where it lies: LoRAs are merged into it
there, and what was compiled for it stays valid. ComfyUI's dynamic memory casts weights layer by
layer instead.
"""

import logging
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from . import scaled_fp8, weight_file
from .compiled_blocks import CompiledBlocks
from .merged_loras import Lora, MergedLoras
from .operations import taking_weights_over, with_scales
from .originals import InPlace, OfFile, Originals, ScaledLayer
from .sampled import SAMPLED, Speed, Steps

KEY = "ryla"
MERGED = "ryla_merged_loras"
"""Attachment of a model: what is merged into its weights. Clones share it."""
WANTED = "ryla_loras"
"""Attachment of a model: the LoRAs that it is to be sampled with."""
SPEEDS = [Speed.EAGER.value, Speed.COMPILED.value, Speed.FP8.value]
ROOM_BYTES = 3_000_000_000
"""Left on the card for activations: 2.3 GB of Flux at 1024 x 1024, and the rest of ComfyUI."""
LOGGER = logging.getLogger(__name__)


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
        return prepared(model, in_full(Speed(speed), "it is a checkpoint")), clip, vae


def load(path: Path, speed: Speed, *, disable_dynamic: bool = True) -> Any:  # noqa: ARG001
    """A model patcher of ComfyUI's. `disable_dynamic` is what it asks of every loader; this one
    does it always."""
    management, sd = import_module("comfy.model_management"), import_module("comfy.sd")
    device = management.get_torch_device()
    head = weight_file.header(path)
    if speed is Speed.FP8 and not scaled_fp8.has_units(device):
        speed = in_full(speed, f"{device} has no units for 8 bits")
    if speed is Speed.FP8 and not any(
        scaled_fp8.is_scaled(each.name, each.shape, each.dtype) for each in head.entries
    ):
        speed = in_full(speed, f"{path.name} has no blocks in bfloat16")
    management.free_memory(head.size + ROOM_BYTES, device)
    if not _fits(head, management.get_free_memory(device)):
        model = sd.load_diffusion_model(str(path), disable_dynamic=True)
        return prepared(model, in_full(speed, "it does not fit on the card as it is in the file"))
    state = weight_file.read(path, device)
    own, operations = _operations(state, device)
    options = {"custom_operations": operations}
    names: frozenset[str] = frozenset()
    if speed is Speed.FP8:
        names = scaled_fp8.put_in_eight_bits(
            state, lambda name: weight_file.read(path, device, {name})[name]
        )
        options = {"custom_operations": with_scales(operations), "dtype": own}
    model = sd.load_diffusion_model_state_dict(
        state, model_options=options, metadata=dict(head.metadata), disable_dynamic=True
    )
    if model is None:
        raise ValueError(f"{path.name} is no diffusion model that ComfyUI knows")
    lost = names - {layer.source for layer in scaled_layers(model).values()}
    if lost:  # rebuilt by ComfyUI on their way
        del model, state
        return load(path, in_full(speed, f"{len(lost)} weights found no layer"))
    model.cached_patcher_init = (load, (path, speed))
    model.patch_model(device_to=device)  # where it lies already, as ComfyUI's accounts now know
    return prepared(model, speed, path)


def in_full(speed: Speed, reason: str) -> Speed:
    """The speed for a model that cannot be computed in 8 bits; told in the log."""
    if speed is not Speed.FP8:
        return speed
    LOGGER.warning("no fp8, but compiled as it is: %s", reason)
    return Speed.COMPILED


def _fits(head: weight_file.Header, free: int) -> bool:
    """Files in 8 bits need what ComfyUI's own loader knows of their scales."""
    return head.dtypes <= {torch.bfloat16, torch.float16, torch.float32} and (
        head.size + ROOM_BYTES <= free
    )


def _operations(
    state: dict[str, torch.Tensor], device: torch.device
) -> tuple[torch.dtype | None, Any]:
    """The type that weights are kept in, if it is known, and ComfyUI's layers for this card: with
    casts where it cannot compute in that type."""
    ops, management = import_module("comfy.ops"), import_module("comfy.model_management")
    config = import_module("comfy.model_detection").model_config_from_unet(state, "")
    if config is None:
        return None, ops.manual_cast
    kinds = list(config.supported_inference_dtypes)
    weights = import_module("comfy.utils").weight_dtype(state)
    own = management.unet_dtype(
        device=device, supported_dtypes=kinds, weight_dtype=weights, model_params=0
    )
    cast = management.unet_manual_cast(own, device, kinds)
    return own, taking_weights_over(ops.disable_weight_init if cast is None else ops.manual_cast)


def prepared(model: Any, speed: Speed, path: Path | None = None) -> Any:
    """The model with LoRAs merged where it lies, and its blocks compiled. `path` is where the
    originals of weights in 8 bits are."""
    extension = import_module("comfy.patcher_extension")
    kinds, callbacks = extension.WrappersMP, extension.CallbacksMP
    merged = MergedLoras(_originals(model, path))
    model.weight_inplace_update = True  # also where ComfyUI merges: addresses stay
    model.set_attachments(MERGED, merged)
    model.add_wrapper_with_key(kinds.PREPARE_SAMPLING, KEY, with_loras_merged)
    model.add_callback_with_key(callbacks.ON_DETACH, KEY, lambda *_: merged.restore())
    model.add_wrapper_with_key(kinds.APPLY_MODEL, KEY, _sampled(model, speed))
    return model


def _originals(model: Any, path: Path | None) -> Originals:
    management, utils = import_module("comfy.model_management"), import_module("comfy.utils")
    device = model.load_device

    def weight_of(key: str) -> torch.Tensor:
        weight: torch.Tensor = utils.get_attr(model.model, key)
        return weight.data

    def room() -> int:
        return int(management.get_free_memory(device)) - ROOM_BYTES

    in_place = InPlace(weight_of, room)
    scaled = scaled_layers(model)
    return in_place if path is None or not scaled else OfFile(path, scaled, in_place, room)


def scaled_layers(model: Any) -> dict[str, ScaledLayer]:
    """The layers in 8 bits, by the keys of their weights."""
    return {
        f"{name}.weight": layer
        for name, layer in model.model.named_modules()
        if getattr(layer, "source", None) is not None
    }


def _sampled(model: Any, speed: Speed) -> Callable[..., Any]:
    """The wrapper of APPLY_MODEL that makes the steps."""
    if speed is Speed.EAGER:
        return as_it_is
    blocks = CompiledBlocks(model.model, is_idle=_nothing_waits)
    if speed is Speed.FP8:
        blocks.eager, blocks.compiled = Steps.FP8_EAGER, Steps.FP8
    return blocks.sample


def as_it_is(executor: Any, *arguments: Any, **options: Any) -> Any:
    """A wrapper of APPLY_MODEL: a step by ComfyUI's own arithmetic."""
    SAMPLED.note(Steps.EAGER)
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
    running: Any = getattr(getattr(server, "PromptServer", None), "instance", None)
    return running is None or running.prompt_queue.get_tasks_remaining() == 0

"""Whether a LoRA fits a base model: by family, by names, and by the shape of every tensor."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from config.errors import LoraMismatch
from handlers.loras.adapter_shapes import shape_problem
from handlers.loras.adapters import X_FLUX_NAME, Adapter
from handlers.loras.bases import Base
from handlers.loras.description import KeyFormat, Lora, describe
from handlers.loras.family import Family
from handlers.loras.header import Ranges, Tensor, quoted, read_header
from handlers.loras.left_out import left_out_hint

_WEIGHTS = ("F16", "BF16", "F32", "F64", "F8_E4M3", "F8_E5M2")
_ALPHAS = ("F16", "BF16", "F32", "F64", "I32", "I64")

# ComfyUI reads x-flux's names only in a file that changes the last double and single block.
_X_FLUX_MARKS = ("double_blocks.18.processor.qkv_lora2", "single_blocks.37.processor.qkv_lora")
_X_FLUX_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "qkv_lora1": "img_attn.qkv",
        "qkv_lora2": "txt_attn.qkv",
        "proj_lora1": "img_attn.proj",
        "proj_lora2": "txt_attn.proj",
        "qkv_lora": "linear1_qkv",
        "proj_lora": "linear2",
    }
)


_KIN_HINTS: Mapping[Family, str] = MappingProxyType(
    {
        Family.FLUX_CONTROL: "It steers Flux by the latent of a picture, which no kind here gives."
        " Choose a LoRA made for Flux itself.",
        **dict.fromkeys(
            (Family.QWEN_IMAGE, Family.FLUX2, Family.HUNYUAN_VIDEO),
            "Its layers are called like Flux's, and it was trained on another model, which no kind"
            " here runs.",
        ),
    }
)


def check(file: Ranges, base: Base) -> Lora:
    """The LoRA in a file, if all of it acts on `base`. Raises LoraUnreadable or LoraMismatch."""
    lora = describe(read_header(file))
    require_fit(lora, base)
    return lora


def require_fit(lora: Lora, base: Base) -> None:
    """Raises LoraMismatch that names the first tensor which does not fit, and counts the rest."""
    if lora.family not in (base.family, Family.UNKNOWN):
        raise LoraMismatch(
            f"the LoRA is one for {lora.family}, the model is {base.family}:"
            f" {quoted(lora.adapters[0].first.name)}",
            value=lora.family.value,
            hint=_KIN_HINTS.get(lora.family)
            or f"Use it with a {lora.family} model, or choose a LoRA made for {base.family}.",
        )
    if lora.key_format is KeyFormat.X_FLUX:
        _require_x_flux_marks(lora.adapters)
    if lora.unread:
        more = f" and {len(lora.unread) - 1:,} more" if len(lora.unread) > 1 else ""
        raise LoraMismatch(
            f"ComfyUI leaves out {quoted(lora.unread[0])}{more}, of"
            f" {len(lora.unread) + lora.read:,} tensors",
            hint=left_out_hint(lora.unread),
        )
    problems = [problem for each in lora.adapters if (problem := _problem(each, base))]
    if problems:
        more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        raise LoraMismatch(
            f"{problems[0]}{more}",
            hint="ComfyUI would run without what does not fit. Retrain or convert the LoRA.",
        )


def _require_x_flux_marks(adapters: Sequence[Adapter]) -> None:
    stems = {each.stem for each in adapters}
    missing = [mark for mark in _X_FLUX_MARKS if mark not in stems]
    if missing:
        raise LoraMismatch(
            f"ComfyUI reads x-flux's names only where the file has {missing[0]!r}",
            hint="Convert the LoRA to kohya's or diffusers' names.",
        )


def _problem(adapter: Adapter, base: Base) -> str | None:
    stem = _known_stem(adapter.stem)
    linear = base.linears.get(stem)
    if linear is None:
        return f"{quoted(adapter.first.name)}: this {base.family} model has no such layer"
    alpha, bias = adapter.alpha, adapter.bias
    for tensor in adapter.tensors:
        if tensor is not alpha and tensor.dtype not in _WEIGHTS:
            return f"{quoted(tensor.name)} has dtype {tensor.dtype}, weights have {_WEIGHTS}"
    if alpha is not None and (math.prod(alpha.shape) != 1 or alpha.dtype not in _ALPHAS):
        return f"{quoted(alpha.name)} is not one number: {alpha.dtype} {list(alpha.shape)}"
    if bias is not None and stem not in base.biased:
        return f"{quoted(bias.name)}: ComfyUI finds no bias of this layer"
    if bias is not None and bias.shape != (linear.out,):
        return _wrong(bias, (linear.out,))
    return shape_problem(adapter, linear)


def _known_stem(stem: str) -> str:
    if not X_FLUX_NAME.match(stem):
        return stem
    block, _, name = stem.partition(".processor.")
    return f"diffusion_model.{block}.{_X_FLUX_NAMES.get(name, name)}"


def _wrong(tensor: Tensor, wanted: tuple[int, ...]) -> str:
    return f"{quoted(tensor.name)} has shape {list(tensor.shape)}, wanted {list(wanted)}"

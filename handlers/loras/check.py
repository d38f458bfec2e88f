"""Whether a LoRA fits a base model: by family, by names, and by the shape of every matrix."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from config.errors import LoraMismatch
from handlers.loras.bases import Base, Linear
from handlers.loras.family import X_FLUX_NAME, Family, KeyFormat, Lora, Pair, describe
from handlers.loras.header import Ranges, Tensor, quoted, read_header

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
            f" {quoted(lora.pairs[0].down.name)}",
            value=lora.family.value,
            hint=f"Use it with a {lora.family} model, or choose a LoRA made for {base.family}.",
        )
    if lora.key_format is KeyFormat.X_FLUX:
        _require_x_flux_marks(lora.pairs)
    problems = [problem for pair in lora.pairs if (problem := _problem(pair, base))]
    if problems:
        more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        raise LoraMismatch(
            f"{problems[0]}{more}",
            hint="ComfyUI would run without what does not fit. Retrain or convert the LoRA.",
        )


def _require_x_flux_marks(pairs: Sequence[Pair]) -> None:
    stems = {pair.stem for pair in pairs}
    missing = [mark for mark in _X_FLUX_MARKS if mark not in stems]
    if missing:
        raise LoraMismatch(
            f"ComfyUI reads x-flux's names only where the file has {missing[0]!r}",
            hint="Convert the LoRA to kohya's or diffusers' names.",
        )


def _problem(pair: Pair, base: Base) -> str | None:
    linear = base.linears.get(_known_stem(pair.stem))
    if linear is None:
        return f"{quoted(pair.down.name)}: this {base.family} model has no such layer"
    for tensor in (pair.down, pair.up, pair.middle):
        if tensor is not None and tensor.dtype not in _WEIGHTS:
            return f"{quoted(tensor.name)} has dtype {tensor.dtype}, weights have {_WEIGHTS}"
    alpha = pair.alpha
    if alpha is not None and (math.prod(alpha.shape) != 1 or alpha.dtype not in _ALPHAS):
        return f"{quoted(alpha.name)} is not one number: {alpha.dtype} {list(alpha.shape)}"
    return _shape_problem(pair, linear)


def _known_stem(stem: str) -> str:
    if not X_FLUX_NAME.match(stem):
        return stem
    block, _, name = stem.partition(".processor.")
    return f"diffusion_model.{block}.{_X_FLUX_NAMES.get(name, name)}"


def _shape_problem(pair: Pair, linear: Linear) -> str | None:
    """Convolutions count as linears over channels times kernel, as ComfyUI multiplies them."""
    down, up, rank = pair.down, pair.up, pair.rank
    if rank == 0 or len(down.shape) < 2 or len(up.shape) < 2:
        return f"{quoted(down.name)} and up are no matrices: {list(down.shape)}, {list(up.shape)}"
    kernel = math.prod(pair.middle.shape[2:]) if pair.middle else 1
    if _flat(down)[1] * kernel != linear.wide:
        return _wrong(down, (rank, linear.wide // kernel))
    if _flat(up) != (linear.out, rank):
        return _wrong(up, (linear.out, rank))
    if pair.middle and pair.middle.shape[:2] != (rank, rank):
        return _wrong(pair.middle, (rank, rank))
    return None


def _flat(tensor: Tensor) -> tuple[int, int]:
    return tensor.shape[0], math.prod(tensor.shape[1:])


def _wrong(tensor: Tensor, wanted: tuple[int, int]) -> str:
    return f"{quoted(tensor.name)} has shape {list(tensor.shape)}, wanted {list(wanted)}"

"""Which base model a LoRA was made for, told from the names and shapes in its header.

Qwen-Image, FLUX.2 and HunyuanVideo are made of blocks like Flux's, some of the very same width, so
that a LoRA for one may fit another in every name and shape that it has. What differs: the number
of blocks, a few layers, and what the trainer wrote into the metadata.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from handlers.loras.adapters import Adapter
from handlers.loras.header import Header


class Family(StrEnum):
    """Base models whose LoRAs fit each other's place. The first three are those of models.toml."""

    FLUX = "flux"
    SDXL = "sdxl"
    Z_IMAGE = "z-image"
    SD1 = "sd1"
    WAN = "wan"
    QWEN_IMAGE = "qwen-image"
    FLUX2 = "flux2"
    HUNYUAN_VIDEO = "hunyuan-video"
    FLUX_CONTROL = "flux-control"
    """Black Forest Labs' control LoRAs for Flux, which need a picture's latent beside them."""
    UNKNOWN = "unknown"


_PREFIX = re.compile(
    r"(lora_unet__?|lora_transformer_|lycoris_|diffusion_model\.|transformer\.|unet\.)"
)
# Matched against stems without prefix, dots as underscores.
_FAMILIES = (
    (re.compile(r"(double|single)_blocks_\d+_|single_transformer_blocks_\d+_"), Family.FLUX),
    (re.compile(r"transformer_blocks_\d+_(attn_|ff_|ff_context_|norm1_)"), Family.FLUX),
    (re.compile(r"(layers|\w+_refiner)_\d+_(attention|feed_forward|adaLN)_"), Family.Z_IMAGE),
    (re.compile(r"blocks_\d+_(self_attn|cross_attn|ffn)_"), Family.WAN),
    (re.compile(r"(input|output|down|up)_blocks_\d+_|middle_block_|mid_block_"), Family.SDXL),
)
_SD1_ONLY = re.compile(
    r"(input_blocks_[12]_1|output_blocks_(9|10|11)_1|(down_blocks_0|up_blocks_3)_attentions)_"
)
_TEXT_WIDTHS = {2048: Family.SDXL, 768: Family.SD1}
"""What the cross attention of a UNet reads, by family."""


# Layers that Flux has not, in stems with underscores for dots.
_OF_KIN = (
    (re.compile(r"transformer_blocks_\d+_(img|txt)_(mlp|mod)_"), Family.QWEN_IMAGE),
    (re.compile(r"to_qkv_mlp_proj|ff(_context)?_linear_(in|out)$|_stream_modulation"),
     Family.FLUX2),
    (re.compile(r"individual_token_refiner|token_refiner_|_mlp_fc[12]$|_mod_linear$"
                r"|_blocks_\d+_modulation_linear$"), Family.HUNYUAN_VIDEO),
)  # fmt: skip
_INDEX = re.compile(
    r"(double_blocks|single_blocks|single_transformer_blocks|transformer_blocks)_(\d+)_"
)
_DOUBLE, _SINGLE = ("double_blocks", "transformer_blocks"), (
    "single_blocks",
    "single_transformer_blocks",
)  # fmt: skip
_FLUX_BLOCKS = 19, 38
_HUNYUAN_BLOCKS = 20, 40

_MODEL_KEYS = ("modelspec.architecture", "ss_base_model_version", "base_model", "ss_base_model")
_NAMES = (
    ("qwenimage", Family.QWEN_IMAGE),
    ("flux2", Family.FLUX2),
    ("hunyuanvideo", Family.HUNYUAN_VIDEO),
    ("hyvideo", Family.HUNYUAN_VIDEO),
)


def family_of(adapters: Sequence[Adapter], header: Header) -> Family:
    """Of the LoRA's base model; UNKNOWN where nothing tells."""
    return _kin(adapters, header) or _family(adapters)


def plain(stem: str) -> str:
    """The stem as no trainer writes it: no prefix, underscores for dots."""
    return _PREFIX.sub("", stem, count=1).replace(".", "_")


def _family(adapters: Iterable[Adapter]) -> Family:
    """The family that most stems speak for."""
    votes = Counter(_family_of(plain(each.stem)) for each in adapters)
    winner = votes.most_common(1)[0][0]
    return _unet_family(adapters) if winner is Family.SDXL else winner


def _family_of(stem: str) -> Family:
    return next((family for sign, family in _FAMILIES if sign.match(stem)), Family.UNKNOWN)


def _unet_family(adapters: Iterable[Adapter]) -> Family:
    """SDXL or SD 1.x: by what their cross attention reads, else by the blocks that have any."""
    stems = {plain(each.stem): each.parts.get("down") for each in adapters}
    for stem, down in stems.items():
        if down is None or len(down.shape) < 2:
            continue
        if re.search(r"attn2_(processor_)?to_[kv]$", stem):
            return _TEXT_WIDTHS.get(down.shape[1], Family.UNKNOWN)
    if any(re.search(r"transformer_blocks_[1-9]", stem) for stem in stems):
        return Family.SDXL
    if any(_SD1_ONLY.match(stem) for stem in stems):
        return Family.SD1
    return Family.UNKNOWN


def _kin(adapters: Iterable[Adapter], header: Header) -> Family | None:
    """The family, where it is one that looks like Flux and is not; None where nothing says so."""
    if "img_in.lora_A.weight" in header.tensors and any(
        name.endswith("_norm.scale") for name in header.tensors
    ):
        return Family.FLUX_CONTROL
    stems = {each.stem.replace(".", "_"): each for each in adapters}
    for stem in stems:
        for sign, family in _OF_KIN:
            if sign.search(stem):
                return family
    return _by_shapes(stems) or _by_numbers(stems) or _by_metadata(header.metadata)


def _by_shapes(stems: Mapping[str, Adapter]) -> Family | None:
    """FLUX.2's MLPs have two halves in, and its first layer of a single block takes nine widths."""
    for stem, each in stems.items():
        down, up = each.parts.get("down"), each.parts.get("up")
        if down is None or up is None or len(down.shape) != 2 or len(up.shape) != 2:
            continue
        out, wide = up.shape[0], down.shape[1]
        if re.search(r"single_blocks_\d+_linear1$", stem) and out == 9 * wide:
            return Family.FLUX2
        if re.search(r"double_blocks_\d+_(img|txt)_mlp_0$", stem) and out == 6 * wide:
            return Family.FLUX2
        if re.search(r"double_blocks_\d+_(img|txt)_attn_(qkv|proj)$", stem) and wide in (
            4096,
            6144,
        ):
            return Family.FLUX2
    return None


def _by_numbers(stems: Iterable[str]) -> Family | None:
    """By the last blocks: Flux has 19 and 38, Qwen-Image 60, HunyuanVideo 20 and 40, FLUX.2 48."""
    double = single = -1
    diffusers = False
    for stem in stems:
        found = _INDEX.search(stem)
        if found is None:
            continue
        number = int(found[2])
        diffusers |= found[1] == "transformer_blocks"
        if found[1] in _SINGLE:
            single = max(single, number)
        elif found[1] in _DOUBLE:
            double = max(double, number)
    if single >= _HUNYUAN_BLOCKS[1]:
        return Family.FLUX2
    if double >= _FLUX_BLOCKS[0] and single < 0 and diffusers:
        return Family.QWEN_IMAGE
    if single >= _FLUX_BLOCKS[1] or double == _HUNYUAN_BLOCKS[0] - 1:
        return Family.HUNYUAN_VIDEO
    return None


def _by_metadata(metadata: Mapping[str, str]) -> Family | None:
    for key in _MODEL_KEYS:
        said = re.sub(r"[^a-z0-9]", "", metadata.get(key, "").lower())
        for name, family in _NAMES:
            if name in said:
                return family
    return None

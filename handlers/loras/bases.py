"""What a LoRA may change in each base model: the linears, by every name ComfyUI knows them by.

A name that is missing here is one that ComfyUI skips with a line in its log: the picture then
comes out as without it. So the names are those of ComfyUI 0.33.0 (`model_lora_keys_unet` in
comfy/lora.py), format by format, and nothing is guessed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from handlers.loras.family import Family


class Linear(NamedTuple):
    """A layer by the shape of its weight, out by wide."""

    out: int
    """Outputs."""
    wide: int
    """Inputs; of a convolution, channels times kernel."""
    kernel: int = 0
    """Of a convolution: pixels under it, 1 or 9; 0 for a matrix."""


Linears = dict[str, Linear]


@dataclass(frozen=True)
class Base:
    family: Family
    linears: Mapping[str, Linear]
    """By the stems that a LoRA's tensors have in front of their ending."""
    biased: frozenset[str] = frozenset()
    """Stems of whole layers that have a bias."""


@dataclass(frozen=True)
class FluxSizes:
    """Of Flux as it was published; models.toml gives those of a model that differs."""

    doubles: int = 19
    """Double blocks, before the single ones."""
    singles: int = 38
    """Single blocks."""
    hidden: int = 3072
    """Width of a block."""
    context: int = 4096
    """Width of the T5 encoder's text."""
    pooled: int = 768
    """Width of CLIP's pooled text."""
    latent: int = 64
    """Channels of a patch: 16 of the latent, times 2 by 2."""
    guidance: bool = True
    """Dev has it, schnell has not."""


@dataclass(frozen=True)
class ZImageSizes:
    """Of Z-Image as it was published; models.toml gives those of a model that differs."""

    layers: int = 30
    refiners: int = 2
    """Blocks of each of the two refiners."""
    dim: int = 3840
    """Width of a block."""
    feed_forward: int = 10_240
    """Inner width of a block's feed-forward part."""
    caption: int = 2560
    """Width of the text encoder's text."""
    latent: int = 64
    """Channels of a patch: 16 of the latent, times 2 by 2."""


@cache
def flux(sizes: FluxSizes = FluxSizes()) -> Base:
    """By the names of ComfyUI, kohya, diffusers, DiffSynth, LyCORIS, OneTrainer and x-flux."""
    native = dict(_flux_native(sizes))
    diffusers = dict(_flux_diffusers(sizes))
    fused = {
        f"diffusion_model.single_blocks.{i}.linear1_qkv": Linear(3 * sizes.hidden, sizes.hidden)
        for i in range(sizes.singles)
    }
    whole = _dotted("diffusion_model.", native) | _underscored("lora_unet_", native)
    base = _base(
        Family.FLUX,
        _dotted("diffusion_model.", native),
        _underscored("lora_unet_", native),
        _dotted("transformer.", diffusers),
        _dotted("", diffusers),
        _underscored("lycoris_", diffusers),
        _underscored("lora_transformer_", diffusers),
        fused,
    )
    return replace(base, biased=frozenset(whole))


@cache
def z_image(sizes: ZImageSizes = ZImageSizes()) -> Base:
    """By the names of ComfyUI, kohya, diffusers, DiffSynth and LyCORIS."""
    native = dict(_z_image_native(sizes))
    diffusers = dict(_z_image_diffusers(sizes))
    return _base(
        Family.Z_IMAGE,
        _dotted("diffusion_model.", native | diffusers),
        _underscored("lora_unet_", native),
        _dotted("transformer.", diffusers),
        _dotted("", diffusers),
        _underscored("lycoris_", diffusers),
    )


@cache
def sdxl() -> Base:
    """Of the UNet, by the names of ComfyUI, kohya, diffusers and LyCORIS."""
    both = list(_sdxl_linears())
    native = {name: linear for name, _, linear in both}
    diffusers = {name: linear for _, name, linear in both}
    processors = {
        name.replace(".to_", ".processor.to_").replace(".to_out.0", ".to_out"): linear
        for name, linear in diffusers.items()
    }
    return _base(
        Family.SDXL,
        _dotted("diffusion_model.", native),
        _underscored("lora_unet_", native | diffusers),
        _underscored("lycoris_", diffusers),
        _dotted("", processors),
        _dotted("unet.", processors),
    )


def _base(family: Family, *parts: Linears) -> Base:
    linears = {name: linear for part in parts for name, linear in part.items()}
    return Base(family, MappingProxyType(linears))


def _dotted(prefix: str, linears: Linears) -> Linears:
    return {prefix + name: linear for name, linear in linears.items()}


def _underscored(prefix: str, linears: Linears) -> Linears:
    return {prefix + name.replace(".", "_"): linear for name, linear in linears.items()}


SIDES = ("img", "txt")


def _flux_native(sizes: FluxSizes) -> Iterator[tuple[str, Linear]]:
    h = sizes.hidden
    for block in (f"double_blocks.{i}.{side}" for i in range(sizes.doubles) for side in SIDES):
        yield f"{block}_mod.lin", Linear(6 * h, h)
        yield f"{block}_attn.qkv", Linear(3 * h, h)
        yield f"{block}_attn.proj", Linear(h, h)
        yield f"{block}_mlp.0", Linear(4 * h, h)
        yield f"{block}_mlp.2", Linear(h, 4 * h)
    for block in (f"single_blocks.{i}" for i in range(sizes.singles)):
        yield f"{block}.linear1", Linear(7 * h, h)
        yield f"{block}.linear2", Linear(h, 5 * h)
        yield f"{block}.modulation.lin", Linear(3 * h, h)
    for part, wide in _flux_embedders(sizes).items():
        yield f"{part}_in.in_layer", Linear(h, wide)
        yield f"{part}_in.out_layer", Linear(h, h)
    yield "img_in", Linear(h, sizes.latent)
    yield "txt_in", Linear(h, sizes.context)
    yield "final_layer.linear", Linear(sizes.latent, h)
    yield "final_layer.adaLN_modulation.1", Linear(2 * h, h)


def _flux_embedders(sizes: FluxSizes) -> dict[str, int]:
    return {"time": 256, "vector": sizes.pooled} | ({"guidance": 256} if sizes.guidance else {})


def _flux_diffusers(sizes: FluxSizes) -> Iterator[tuple[str, Linear]]:
    """Queries, keys, values and the single blocks' MLP apart: parts of one native linear."""
    h = sizes.hidden
    for block in (f"transformer_blocks.{i}" for i in range(sizes.doubles)):
        for part in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"):
            yield f"{block}.attn.{part}", Linear(h, h)
        yield f"{block}.attn.to_out.0", Linear(h, h)
        yield f"{block}.attn.to_add_out", Linear(h, h)
        for side in ("", "_context"):
            yield f"{block}.norm1{side}.linear", Linear(6 * h, h)
            yield f"{block}.ff{side}.net.0.proj", Linear(4 * h, h)
            yield f"{block}.ff{side}.net.2", Linear(h, 4 * h)
    for block in (f"single_transformer_blocks.{i}" for i in range(sizes.singles)):
        for part in ("to_q", "to_k", "to_v"):
            yield f"{block}.attn.{part}", Linear(h, h)
        yield f"{block}.proj_mlp", Linear(4 * h, h)
        yield f"{block}.proj_out", Linear(h, 5 * h)
        yield f"{block}.norm.linear", Linear(3 * h, h)
    names = {"time": "timestep", "vector": "text", "guidance": "guidance"}
    for part, wide in _flux_embedders(sizes).items():
        yield f"time_text_embed.{names[part]}_embedder.linear_1", Linear(h, wide)
        yield f"time_text_embed.{names[part]}_embedder.linear_2", Linear(h, h)
    yield "x_embedder", Linear(h, sizes.latent)
    yield "context_embedder", Linear(h, sizes.context)
    yield "proj_out", Linear(sizes.latent, h)
    yield "norm_out.linear", Linear(2 * h, h)


def _z_image_blocks(sizes: ZImageSizes) -> Iterator[tuple[str, bool]]:
    """Each block, and whether the time step modulates it."""
    for kind, count in (("layers", sizes.layers), ("noise_refiner", sizes.refiners)):
        yield from ((f"{kind}.{i}", True) for i in range(count))
    yield from ((f"context_refiner.{i}", False) for i in range(sizes.refiners))


def _z_image_native(sizes: ZImageSizes) -> Iterator[tuple[str, Linear]]:
    d = sizes.dim
    for block, _ in _z_image_blocks(sizes):
        yield f"{block}.attention.qkv", Linear(3 * d, d)
        yield f"{block}.attention.out", Linear(d, d)
    yield from _z_image_common(sizes)
    yield "x_embedder", Linear(d, sizes.latent)
    yield "final_layer.linear", Linear(sizes.latent, d)
    yield "final_layer.adaLN_modulation.1", Linear(d, min(d, 256))


def _z_image_diffusers(sizes: ZImageSizes) -> Iterator[tuple[str, Linear]]:
    d = sizes.dim
    for block, _ in _z_image_blocks(sizes):
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            yield f"{block}.attention.{part}", Linear(d, d)
    yield from _z_image_common(sizes)
    yield "all_x_embedder.2-1", Linear(d, sizes.latent)
    yield "all_final_layer.2-1.linear", Linear(sizes.latent, d)
    yield "all_final_layer.2-1.adaLN_modulation.1", Linear(d, min(d, 256))


def _z_image_common(sizes: ZImageSizes) -> Iterator[tuple[str, Linear]]:
    d, wide = sizes.dim, sizes.feed_forward
    for block, modulated in _z_image_blocks(sizes):
        yield f"{block}.feed_forward.w1", Linear(wide, d)
        yield f"{block}.feed_forward.w2", Linear(d, wide)
        yield f"{block}.feed_forward.w3", Linear(wide, d)
        if modulated:
            yield f"{block}.adaLN_modulation.0", Linear(4 * d, min(d, 256))
    yield "cap_embedder.1", Linear(d, sizes.caption)
    yield "t_embedder.mlp.0", Linear(min(d, 1024), 256)
    yield "t_embedder.mlp.2", Linear(min(d, 256), min(d, 1024))


Both = tuple[str, str, Linear]
"""Native name, diffusers' name, sizes."""

_WIDTHS_AND_DEPTHS = ((320, 0), (640, 2), (1280, 10))
"""Of SDXL, by level: channels, and transformer blocks after each residual block."""


def _sdxl_linears() -> Iterator[Both]:
    levels = list(enumerate(_WIDTHS_AND_DEPTHS))
    yield "input_blocks.0.0", "conv_in", Linear(320, 4 * 9, 9)
    wide, skipped, n = 320, [320], 1
    for level, (width, depth) in levels:
        for i in range(2):
            block, other = f"input_blocks.{n}", f"down_blocks.{level}"
            yield from _residual(f"{block}.0", f"{other}.resnets.{i}", wide, width)
            yield from _attention(f"{block}.1", f"{other}.attentions.{i}", width, depth)
            wide, n = width, n + 1
            skipped.append(width)
        if level < 2:
            down = f"down_blocks.{level}.downsamplers.0.conv"
            yield f"input_blocks.{n}.0.op", down, Linear(width, width * 9, 9)
            skipped.append(width)
            n += 1
    for i in range(2):
        yield from _residual(f"middle_block.{2 * i}", f"mid_block.resnets.{i}", wide, wide)
    yield from _attention("middle_block.1", "mid_block.attentions.0", wide, 10)
    for n in range(9):
        level, i = divmod(n, 3)
        width, depth = _WIDTHS_AND_DEPTHS[2 - level]
        block, other = f"output_blocks.{n}", f"up_blocks.{level}"
        joined = wide + skipped.pop()
        yield from _residual(f"{block}.0", f"{other}.resnets.{i}", joined, width)
        yield from _attention(f"{block}.1", f"{other}.attentions.{i}", width, depth)
        if i == 2 and level < 2:
            yield f"{block}.2.conv", f"{other}.upsamplers.0.conv", Linear(width, width * 9, 9)
        wide = width
    yield "time_embed.0", "time_embedding.linear_1", Linear(1280, 320)
    yield "time_embed.2", "time_embedding.linear_2", Linear(1280, 1280)
    yield "label_emb.0.0", "add_embedding.linear_1", Linear(1280, 2816)
    yield "label_emb.0.2", "add_embedding.linear_2", Linear(1280, 1280)
    yield "out.2", "conv_out", Linear(4, 320 * 9, 9)


def _residual(native: str, diffusers: str, wide: int, width: int) -> Iterator[Both]:
    yield f"{native}.in_layers.2", f"{diffusers}.conv1", Linear(width, wide * 9, 9)
    yield f"{native}.emb_layers.1", f"{diffusers}.time_emb_proj", Linear(width, 1280)
    yield f"{native}.out_layers.3", f"{diffusers}.conv2", Linear(width, width * 9, 9)
    if wide != width:
        yield f"{native}.skip_connection", f"{diffusers}.conv_shortcut", Linear(width, wide, 1)


def _attention(native: str, diffusers: str, width: int, depth: int) -> Iterator[Both]:
    shapes = {
        f"transformer_blocks.{i}.{part}": linear
        for i in range(depth)
        for part, linear in _transformer_parts(width).items()
    }
    if depth:
        shapes |= {part: Linear(width, width) for part in ("proj_in", "proj_out")}
    yield from ((f"{native}.{name}", f"{diffusers}.{name}", each) for name, each in shapes.items())


def _transformer_parts(width: int) -> Linears:
    parts = {
        f"{attention}.{part}": Linear(width, 2048 if part in context else width)
        for attention, context in (("attn1", ()), ("attn2", ("to_k", "to_v")))
        for part in ("to_q", "to_k", "to_v", "to_out.0")
    }
    return parts | {
        "ff.net.0.proj": Linear(8 * width, width),
        "ff.net.2": Linear(width, 4 * width),
    }

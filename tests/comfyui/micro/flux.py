"""Flux's tensors at any size, and a LoRA for it; by default one double and one single block."""

from dataclasses import dataclass

from tests.comfyui.micro.shapes import Shapes, linear, lora

HEAD = 128  # rotary axes add up to 16 + 56 + 56
LATENT = 16  # channels


@dataclass(frozen=True)
class FluxSizes:
    hidden: int = HEAD
    text: int = 64
    """Width of the long text encoder."""
    pooled: int = 64
    """Of the short one."""
    doubles: int = 1
    singles: int = 1


MICRO = FluxSizes()
REAL = FluxSizes(hidden=3072, text=4096, pooled=768, doubles=19, singles=38)


def flux(*, guidance: bool, sizes: FluxSizes = MICRO) -> Shapes:
    hidden = sizes.hidden
    shapes = linear("img_in", LATENT * 4, hidden) | linear("txt_in", sizes.text, hidden)
    embedded = {
        "time_in": 256,
        "vector_in": sizes.pooled,
        **({"guidance_in": 256} if guidance else {}),
    }
    for name, width in embedded.items():
        shapes |= linear(f"{name}.in_layer", width, hidden)
        shapes |= linear(f"{name}.out_layer", hidden, hidden)
    for at in range(sizes.doubles):
        shapes |= _double(f"double_blocks.{at}.", hidden)
    for at in range(sizes.singles):
        shapes |= _single(f"single_blocks.{at}.", hidden)
    shapes |= linear("final_layer.adaLN_modulation.1", hidden, 2 * hidden)
    return shapes | linear("final_layer.linear", hidden, LATENT * 4)


def flux_lora() -> Shapes:
    linears = {
        "double_blocks.0.img_attn.qkv": (HEAD, 3 * HEAD),
        "single_blocks.0.linear2": (5 * HEAD, HEAD),
    }
    return lora(linears, rank=4)


def _double(block: str, hidden: int) -> Shapes:
    shapes: Shapes = {}
    for stream in ("img", "txt"):
        shapes |= linear(f"{block}{stream}_mod.lin", hidden, 6 * hidden)
        shapes |= linear(f"{block}{stream}_attn.qkv", hidden, 3 * hidden)
        shapes |= _query_and_key_norms(f"{block}{stream}_attn.norm")
        shapes |= linear(f"{block}{stream}_attn.proj", hidden, hidden)
        shapes |= linear(f"{block}{stream}_mlp.0", hidden, 4 * hidden)
        shapes |= linear(f"{block}{stream}_mlp.2", 4 * hidden, hidden)
    return shapes


def _single(block: str, hidden: int) -> Shapes:
    shapes = linear(f"{block}linear1", hidden, 7 * hidden)
    shapes |= linear(f"{block}linear2", 5 * hidden, hidden)
    shapes |= _query_and_key_norms(f"{block}norm")
    return shapes | linear(f"{block}modulation.lin", hidden, 3 * hidden)


def _query_and_key_norms(name: str) -> Shapes:
    return {f"{name}.query_norm.scale": (HEAD,), f"{name}.key_norm.scale": (HEAD,)}

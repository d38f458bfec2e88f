"""Z-Image, by default with one layer beside its four refiners, and a LoRA for it."""

from dataclasses import dataclass

from tests.comfyui.micro.shapes import Shapes, linear, lora

HEAD = 128
PATCH = 64  # 2 x 2 of 16 channels
TIME = 256


@dataclass(frozen=True)
class ZImageSizes:
    dim: int = 256
    """Whole heads, whose rotary axes add up to 32 + 48 + 48 each."""
    feed_forward: int = 768
    """8/3 of it, up to the next multiple of 256."""
    text: int = 64
    """Width of its text encoder."""
    layers: int = 1


MICRO = ZImageSizes()
REAL = ZImageSizes(dim=3840, feed_forward=10240, text=2560, layers=30)


def z_image(sizes: ZImageSizes = MICRO) -> Shapes:
    dim = sizes.dim
    shapes = linear("x_embedder", PATCH, dim)
    shapes |= {
        "cap_embedder.0.weight": (sizes.text,),
        "x_pad_token": (1, dim),
        "cap_pad_token": (1, dim),
    }
    shapes |= linear("cap_embedder.1", sizes.text, dim)
    middle = min(dim, 1024)
    shapes |= linear("t_embedder.mlp.0", 256, middle) | linear("t_embedder.mlp.2", middle, TIME)
    for i in range(2):
        shapes |= _block(f"context_refiner.{i}.", sizes, modulated=False)
        shapes |= _block(f"noise_refiner.{i}.", sizes, modulated=True)
    for i in range(sizes.layers):
        shapes |= _block(f"layers.{i}.", sizes, modulated=True)
    shapes |= linear("final_layer.adaLN_modulation.1", TIME, dim)
    return shapes | linear("final_layer.linear", dim, PATCH)


def z_image_lora() -> Shapes:
    linears = {
        "layers.0.attention.qkv": (MICRO.dim, 3 * MICRO.dim),
        "layers.0.feed_forward.w2": (MICRO.feed_forward, MICRO.dim),
    }
    return lora(linears, rank=4)


def _block(name: str, sizes: ZImageSizes, *, modulated: bool) -> Shapes:
    dim, inner = sizes.dim, sizes.feed_forward
    shapes: Shapes = {
        f"{name}attention.qkv.weight": (3 * dim, dim),
        f"{name}attention.out.weight": (dim, dim),
        f"{name}attention.q_norm.weight": (HEAD,),
        f"{name}attention.k_norm.weight": (HEAD,),
        f"{name}feed_forward.w1.weight": (inner, dim),
        f"{name}feed_forward.w2.weight": (dim, inner),
        f"{name}feed_forward.w3.weight": (inner, dim),
    }
    norms = ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2")
    shapes |= {f"{name}{each}.weight": (dim,) for each in norms}
    return shapes | (linear(f"{name}adaLN_modulation.0", TIME, 4 * dim) if modulated else {})

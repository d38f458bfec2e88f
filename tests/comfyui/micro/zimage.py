"""Z-Image with one layer beside its four refiners, and a LoRA for it."""

from tests.comfyui.micro.shapes import Shapes, linear, lora

DIM = 256  # two heads, whose rotary axes add up to 32 + 48 + 48 each
HEAD = 128
FEED_FORWARD = 768  # 8/3 of it, up to the next multiple of 256
TEXT = 64  # width of its text encoder
PATCH = 64  # 2 x 2 of 16 channels
TIME = 256


def z_image() -> Shapes:
    shapes = linear("x_embedder", PATCH, DIM)
    shapes |= {"cap_embedder.0.weight": (TEXT,), "x_pad_token": (1, DIM), "cap_pad_token": (1, DIM)}
    shapes |= linear("cap_embedder.1", TEXT, DIM)
    shapes |= linear("t_embedder.mlp.0", 256, TIME) | linear("t_embedder.mlp.2", TIME, TIME)
    for i in range(2):
        shapes |= _block(f"context_refiner.{i}.", modulated=False)
        shapes |= _block(f"noise_refiner.{i}.", modulated=True)
    shapes |= _block("layers.0.", modulated=True)
    shapes |= linear("final_layer.adaLN_modulation.1", TIME, DIM)
    return shapes | linear("final_layer.linear", DIM, PATCH)


def z_image_lora() -> Shapes:
    linears = {
        "layers.0.attention.qkv": (DIM, 3 * DIM),
        "layers.0.feed_forward.w2": (FEED_FORWARD, DIM),
    }
    return lora(linears, rank=4)


def _block(name: str, *, modulated: bool) -> Shapes:
    shapes: Shapes = {
        f"{name}attention.qkv.weight": (3 * DIM, DIM),
        f"{name}attention.out.weight": (DIM, DIM),
        f"{name}attention.q_norm.weight": (HEAD,),
        f"{name}attention.k_norm.weight": (HEAD,),
        f"{name}feed_forward.w1.weight": (FEED_FORWARD, DIM),
        f"{name}feed_forward.w2.weight": (DIM, FEED_FORWARD),
        f"{name}feed_forward.w3.weight": (FEED_FORWARD, DIM),
    }
    norms = ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2")
    shapes |= {f"{name}{each}.weight": (DIM,) for each in norms}
    return shapes | (linear(f"{name}adaLN_modulation.0", TIME, 4 * DIM) if modulated else {})

"""Flux with one double and one single block, and a LoRA for it."""

from tests.comfyui.micro.shapes import Shapes, linear, lora

HIDDEN = 128  # one head, whose rotary axes add up to 16 + 56 + 56
TEXT = 64  # width of both text encoders
LATENT = 16  # channels


def flux(*, guidance: bool) -> Shapes:
    double, single = "double_blocks.0.", "single_blocks.0."
    shapes = linear("img_in", LATENT * 4, HIDDEN) | linear("txt_in", TEXT, HIDDEN)
    embedded = {"time_in": 256, "vector_in": TEXT, **({"guidance_in": 256} if guidance else {})}
    for name, width in embedded.items():
        shapes |= linear(f"{name}.in_layer", width, HIDDEN)
        shapes |= linear(f"{name}.out_layer", HIDDEN, HIDDEN)
    for stream in ("img", "txt"):
        shapes |= linear(f"{double}{stream}_mod.lin", HIDDEN, 6 * HIDDEN)
        shapes |= linear(f"{double}{stream}_attn.qkv", HIDDEN, 3 * HIDDEN)
        shapes |= _query_and_key_norms(f"{double}{stream}_attn.norm")
        shapes |= linear(f"{double}{stream}_attn.proj", HIDDEN, HIDDEN)
        shapes |= linear(f"{double}{stream}_mlp.0", HIDDEN, 4 * HIDDEN)
        shapes |= linear(f"{double}{stream}_mlp.2", 4 * HIDDEN, HIDDEN)
    shapes |= linear(f"{single}linear1", HIDDEN, 7 * HIDDEN)
    shapes |= linear(f"{single}linear2", 5 * HIDDEN, HIDDEN)
    shapes |= _query_and_key_norms(f"{single}norm")
    shapes |= linear(f"{single}modulation.lin", HIDDEN, 3 * HIDDEN)
    shapes |= linear("final_layer.adaLN_modulation.1", HIDDEN, 2 * HIDDEN)
    return shapes | linear("final_layer.linear", HIDDEN, LATENT * 4)


def flux_lora() -> Shapes:
    linears = {
        "double_blocks.0.img_attn.qkv": (HIDDEN, 3 * HIDDEN),
        "single_blocks.0.linear2": (5 * HIDDEN, HIDDEN),
    }
    return lora(linears, rank=4)


def _query_and_key_norms(name: str) -> Shapes:
    return {f"{name}.query_norm.scale": (HIDDEN,), f"{name}.key_norm.scale": (HIDDEN,)}

"""SDXL with all of its blocks at a tenth of their width, and a ControlNet of the same shape."""

from itertools import pairwise

from tests.comfyui.micro.shapes import Shapes, conv, linear, norm

WIDTH = 32
CONTEXT = 128  # of its two text encoders together
POOLED = 64  # of the second
SIZES = 6 * 256  # sizes and crops, embedded
EMBEDDED = 4 * WIDTH
LATENT = 4
LEVELS = ((WIDTH, 0), (2 * WIDTH, 2), (4 * WIDTH, 10))
"""Width, and transformer layers behind each of its residual blocks."""
HINT = (16, 16, 32, 32, 96, 96, 256)
"""Widths of the layers through which a ControlNet looks at its picture."""


def unet() -> Shapes:
    shapes, skips = _downwards()
    width = skips[-1]
    for at in range(9):
        level = len(LEVELS) - 1 - at // 3
        out, depth = LEVELS[level]
        block = f"output_blocks.{at}."
        shapes |= _residual(f"{block}0", width + skips.pop(), out)
        shapes |= _transformer(f"{block}1", out, depth)
        width = out
        if at % 3 == 2 and level > 0:
            shapes |= conv(f"{block}2.conv", out, out)
    return shapes | norm("out.0", WIDTH) | conv("out.2", WIDTH, LATENT)


def controlnet() -> Shapes:
    """The way down, and a convolution from each of its stations to the UNet's."""
    shapes, skips = _downwards()
    for at, width in enumerate(skips):
        shapes |= conv(f"zero_convs.{at}.0", width, width, kernel=1)
    shapes |= conv("middle_block_out.0", skips[-1], skips[-1], kernel=1)
    widths = (3, *HINT, WIDTH)
    for at, (width, out) in enumerate(pairwise(widths)):
        shapes |= conv(f"input_hint_block.{2 * at}", width, out)
    return shapes


def cross_attentions() -> list[int]:
    """Their widths, in the order in which InstantID numbers them: the middle comes last."""
    down = [width for width, depth in LEVELS for _ in range(2 * depth)]
    up = [width for width, depth in reversed(LEVELS) for _ in range(3 * depth)]
    width, depth = LEVELS[-1]
    return [*down, *up, *[width] * depth]


def _downwards() -> tuple[Shapes, list[int]]:
    """Embeddings, input blocks and middle block, and the width that each input block leaves."""
    shapes = linear("time_embed.0", WIDTH, EMBEDDED) | linear("time_embed.2", EMBEDDED, EMBEDDED)
    shapes |= linear("label_emb.0.0", POOLED + SIZES, EMBEDDED)
    shapes |= linear("label_emb.0.2", EMBEDDED, EMBEDDED)
    shapes |= conv("input_blocks.0.0", LATENT, WIDTH)
    skips = [WIDTH]
    for level, (out, depth) in enumerate(LEVELS):
        for _ in range(2):
            block = f"input_blocks.{len(skips)}."
            shapes |= _residual(f"{block}0", skips[-1], out)
            shapes |= _transformer(f"{block}1", out, depth)
            skips.append(out)
        if level < len(LEVELS) - 1:
            shapes |= conv(f"input_blocks.{len(skips)}.0.op", out, out)
            skips.append(out)
    width, depth = LEVELS[-1]
    shapes |= _residual("middle_block.0", width, width)
    shapes |= _transformer("middle_block.1", width, depth)
    return shapes | _residual("middle_block.2", width, width), skips


def _residual(name: str, width: int, out: int) -> Shapes:
    shapes = norm(f"{name}.in_layers.0", width) | conv(f"{name}.in_layers.2", width, out)
    shapes |= linear(f"{name}.emb_layers.1", EMBEDDED, out)
    shapes |= norm(f"{name}.out_layers.0", out) | conv(f"{name}.out_layers.3", out, out)
    if width == out:
        return shapes
    return shapes | conv(f"{name}.skip_connection", width, out, kernel=1)


def _transformer(name: str, width: int, depth: int) -> Shapes:
    if depth == 0:
        return {}
    shapes = norm(f"{name}.norm", width)
    shapes |= linear(f"{name}.proj_in", width, width) | linear(f"{name}.proj_out", width, width)
    for layer in (f"{name}.transformer_blocks.{i}." for i in range(depth)):
        for attention, context in (("attn1", width), ("attn2", CONTEXT)):
            shapes |= {
                f"{layer}{attention}.to_q.weight": (width, width),
                f"{layer}{attention}.to_k.weight": (width, context),
                f"{layer}{attention}.to_v.weight": (width, context),
            }
            shapes |= linear(f"{layer}{attention}.to_out.0", width, width)
        shapes |= linear(f"{layer}ff.net.0.proj", width, 8 * width)
        shapes |= linear(f"{layer}ff.net.2", 4 * width, width)
        for each in ("norm1", "norm2", "norm3"):
            shapes |= norm(f"{layer}{each}", width)
    return shapes

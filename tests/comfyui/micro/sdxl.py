"""SDXL with all of its blocks, by default at a tenth of their width, and its ControlNet."""

from dataclasses import dataclass
from itertools import pairwise

from tests.comfyui.micro.shapes import Shapes, conv, linear, norm

EMBEDDINGS = 6 * 256  # sizes and crops, embedded
LATENT = 4


@dataclass(frozen=True)
class SdxlSizes:
    width: int = 32
    context: int = 128
    """Of its two text encoders together."""
    pooled: int = 64
    """Of the second."""

    @property
    def embedded(self) -> int:
        return 4 * self.width

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Width, and transformer layers behind each of its residual blocks."""
        return ((self.width, 0), (2 * self.width, 2), (4 * self.width, 10))


MICRO = SdxlSizes()
REAL = SdxlSizes(width=320, context=2048, pooled=1280)
HINT = (16, 16, 32, 32, 96, 96, 256)
"""Widths of the layers through which a ControlNet looks at its picture."""


def unet(sizes: SdxlSizes = MICRO) -> Shapes:
    shapes, skips = _downwards(sizes)
    width = skips[-1]
    for at in range(9):
        level = len(sizes.levels) - 1 - at // 3
        out, depth = sizes.levels[level]
        block = f"output_blocks.{at}."
        shapes |= _residual(f"{block}0", width + skips.pop(), out, sizes.embedded)
        shapes |= _transformer(f"{block}1", out, depth, sizes.context)
        width = out
        if at % 3 == 2 and level > 0:
            shapes |= conv(f"{block}2.conv", out, out)
    return shapes | norm("out.0", sizes.width) | conv("out.2", sizes.width, LATENT)


def controlnet(sizes: SdxlSizes = MICRO) -> Shapes:
    """The way down, and a convolution from each of its stations to the UNet's."""
    shapes, skips = _downwards(sizes)
    for at, width in enumerate(skips):
        shapes |= conv(f"zero_convs.{at}.0", width, width, kernel=1)
    shapes |= conv("middle_block_out.0", skips[-1], skips[-1], kernel=1)
    widths = (3, *HINT, sizes.width)
    for at, (width, out) in enumerate(pairwise(widths)):
        shapes |= conv(f"input_hint_block.{2 * at}", width, out)
    return shapes


def cross_attentions(sizes: SdxlSizes = MICRO) -> list[int]:
    """Their widths, in the order in which InstantID numbers them: the middle comes last."""
    down = [width for width, depth in sizes.levels for _ in range(2 * depth)]
    up = [width for width, depth in reversed(sizes.levels) for _ in range(3 * depth)]
    width, depth = sizes.levels[-1]
    return [*down, *up, *[width] * depth]


def _downwards(sizes: SdxlSizes) -> tuple[Shapes, list[int]]:
    """Embeddings, input blocks and middle block, and the width that each input block leaves."""
    shapes = linear("time_embed.0", sizes.width, sizes.embedded) | linear(
        "time_embed.2", sizes.embedded, sizes.embedded
    )
    shapes |= linear("label_emb.0.0", sizes.pooled + EMBEDDINGS, sizes.embedded)
    shapes |= linear("label_emb.0.2", sizes.embedded, sizes.embedded)
    shapes |= conv("input_blocks.0.0", LATENT, sizes.width)
    skips = [sizes.width]
    for level, (out, depth) in enumerate(sizes.levels):
        for _ in range(2):
            block = f"input_blocks.{len(skips)}."
            shapes |= _residual(f"{block}0", skips[-1], out, sizes.embedded)
            shapes |= _transformer(f"{block}1", out, depth, sizes.context)
            skips.append(out)
        if level < len(sizes.levels) - 1:
            shapes |= conv(f"input_blocks.{len(skips)}.0.op", out, out)
            skips.append(out)
    width, depth = sizes.levels[-1]
    shapes |= _residual("middle_block.0", width, width, sizes.embedded)
    shapes |= _transformer("middle_block.1", width, depth, sizes.context)
    return shapes | _residual("middle_block.2", width, width, sizes.embedded), skips


def _residual(name: str, width: int, out: int, embedded: int) -> Shapes:
    shapes = norm(f"{name}.in_layers.0", width) | conv(f"{name}.in_layers.2", width, out)
    shapes |= linear(f"{name}.emb_layers.1", embedded, out)
    shapes |= norm(f"{name}.out_layers.0", out) | conv(f"{name}.out_layers.3", out, out)
    if width == out:
        return shapes
    return shapes | conv(f"{name}.skip_connection", width, out, kernel=1)


def _transformer(name: str, width: int, depth: int, context: int) -> Shapes:
    if depth == 0:
        return {}
    shapes = norm(f"{name}.norm", width)
    shapes |= linear(f"{name}.proj_in", width, width) | linear(f"{name}.proj_out", width, width)
    for layer in (f"{name}.transformer_blocks.{i}." for i in range(depth)):
        for attention, read in (("attn1", width), ("attn2", context)):
            shapes |= {
                f"{layer}{attention}.to_q.weight": (width, width),
                f"{layer}{attention}.to_k.weight": (width, read),
                f"{layer}{attention}.to_v.weight": (width, read),
            }
            shapes |= linear(f"{layer}{attention}.to_out.0", width, width)
        shapes |= linear(f"{layer}ff.net.0.proj", width, 8 * width)
        shapes |= linear(f"{layer}ff.net.2", 4 * width, width)
        for each in ("norm1", "norm2", "norm3"):
            shapes |= norm(f"{layer}{each}", width)
    return shapes

"""The VAE of Flux, Z-Image and SDXL, by default at a quarter of its width."""

from tests.comfyui.micro.shapes import Shapes, conv, norm

WIDTH = 32  # the least that its normalisation in 32 groups allows
MULTIPLIERS = (1, 2, 4, 4)


def vae(latent: int, base: int = WIDTH) -> Shapes:
    """An encoder with two, a decoder with three residual blocks on each of four levels."""
    widths = [base * each for each in MULTIPLIERS]
    last = len(widths) - 1
    shapes = conv("encoder.conv_in", 3, widths[0]) | conv("decoder.conv_in", latent, widths[-1])
    for level, width in enumerate(widths):
        down, up = f"encoder.down.{level}.", f"decoder.up.{level}."
        shapes |= _residuals(f"{down}block", widths[max(level - 1, 0)], width, count=2)
        shapes |= _residuals(f"{up}block", widths[min(level + 1, last)], width, count=3)
        shapes |= conv(f"{down}downsample.conv", width, width) if level < last else {}
        shapes |= conv(f"{up}upsample.conv", width, width) if level > 0 else {}
    for half in ("encoder", "decoder"):
        for block in ("block_1", "block_2"):
            shapes |= _residual(f"{half}.mid.{block}", widths[-1], widths[-1])
        shapes |= norm(f"{half}.mid.attn_1.norm", widths[-1])
        for projection in ("q", "k", "v", "proj_out"):
            shapes |= conv(f"{half}.mid.attn_1.{projection}", widths[-1], widths[-1], kernel=1)
    shapes |= norm("encoder.norm_out", widths[-1]) | norm("decoder.norm_out", widths[0])
    shapes |= conv("encoder.conv_out", widths[-1], 2 * latent)
    return shapes | conv("decoder.conv_out", widths[0], 3)


def _residuals(name: str, width: int, out: int, *, count: int) -> Shapes:
    shapes = _residual(f"{name}.0", width, out)
    for i in range(1, count):
        shapes |= _residual(f"{name}.{i}", out, out)
    return shapes


def _residual(name: str, width: int, out: int) -> Shapes:
    shapes = norm(f"{name}.norm1", width) | conv(f"{name}.conv1", width, out)
    shapes |= norm(f"{name}.norm2", out) | conv(f"{name}.conv2", out, out)
    return shapes | (conv(f"{name}.nin_shortcut", width, out, kernel=1) if width != out else {})

"""Flux made tiny: 45 MB of random weights that ComfyUI loads as it does the real files.

    python -m tests.comfyui.micro.make_models FOLDER

FOLDER is ComfyUI's own or one given to it as --base-directory. tiny_patch.py is put beside them.
"""

import json
import math
import random
import shutil
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import NormalDist

Shapes = dict[str, tuple[int, ...]]

HIDDEN = 128  # of Flux: one head, whose rotary axes add up to 16 + 56 + 56
TEXT = 64  # of both text encoders: one head
CLIP_VOCABULARY = 49_408  # the tokenizers are the real ones
T5_VOCABULARY = 32_128
LATENT = 16  # channels
VAE_WIDTH = 32  # the least that its normalisation in 32 groups allows
VAE_MULTIPLIERS = (1, 2, 4, 4)

PATCH = Path(__file__).with_name("tiny_patch.py")
QUANTILES = tuple(NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256))


def make(folder: Path) -> list[Path]:
    """Write the five files and the patch under `folder`; the same bytes every time."""
    nodes = folder / "custom_nodes"
    nodes.mkdir(parents=True, exist_ok=True)
    shutil.copy(PATCH, nodes)
    return [_write(folder / "models" / name, shapes) for name, shapes in files().items()]


def files() -> dict[str, Shapes]:
    """Path under models/ -> the tensors in it."""
    return {
        "diffusion_models/micro-flux1-dev.safetensors": flux(guidance=True),
        "text_encoders/micro-clip_l.safetensors": clip_l(),
        "text_encoders/micro-t5xxl.safetensors": t5(),
        "vae/micro-ae.safetensors": vae(),
        "checkpoints/micro-flux1-schnell.safetensors": {
            **_under("model.diffusion_model.", flux(guidance=False)),
            **_under("text_encoders.clip_l.transformer.", clip_l()),
            **_under("text_encoders.t5xxl.transformer.", t5()),
            **_under("vae.", vae()),
        },
    }


def flux(*, guidance: bool) -> Shapes:
    """One double and one single block."""
    double, single = "double_blocks.0.", "single_blocks.0."
    shapes = _linear("img_in", LATENT * 4, HIDDEN) | _linear("txt_in", TEXT, HIDDEN)
    embedded = {"time_in": 256, "vector_in": TEXT, **({"guidance_in": 256} if guidance else {})}
    for name, width in embedded.items():
        shapes |= _linear(f"{name}.in_layer", width, HIDDEN)
        shapes |= _linear(f"{name}.out_layer", HIDDEN, HIDDEN)
    for stream in ("img", "txt"):
        shapes |= _linear(f"{double}{stream}_mod.lin", HIDDEN, 6 * HIDDEN)
        shapes |= _linear(f"{double}{stream}_attn.qkv", HIDDEN, 3 * HIDDEN)
        shapes |= _query_and_key_norms(f"{double}{stream}_attn.norm")
        shapes |= _linear(f"{double}{stream}_attn.proj", HIDDEN, HIDDEN)
        shapes |= _linear(f"{double}{stream}_mlp.0", HIDDEN, 4 * HIDDEN)
        shapes |= _linear(f"{double}{stream}_mlp.2", 4 * HIDDEN, HIDDEN)
    shapes |= _linear(f"{single}linear1", HIDDEN, 7 * HIDDEN)
    shapes |= _linear(f"{single}linear2", 5 * HIDDEN, HIDDEN)
    shapes |= _query_and_key_norms(f"{single}norm")
    shapes |= _linear(f"{single}modulation.lin", HIDDEN, 3 * HIDDEN)
    shapes |= _linear("final_layer.adaLN_modulation.1", HIDDEN, 2 * HIDDEN)
    return shapes | _linear("final_layer.linear", HIDDEN, LATENT * 4)


def clip_l() -> Shapes:
    """Two layers, as some models read the last but one."""
    shapes: Shapes = {
        "text_model.embeddings.token_embedding.weight": (CLIP_VOCABULARY, TEXT),
        "text_model.embeddings.position_embedding.weight": (77, TEXT),
        "text_projection.weight": (TEXT, TEXT),
    }
    for layer in (f"text_model.encoder.layers.{i}." for i in range(2)):
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{layer}self_attn.{projection}", TEXT, TEXT)
        shapes |= _linear(f"{layer}mlp.fc1", TEXT, 2 * TEXT)
        shapes |= _linear(f"{layer}mlp.fc2", 2 * TEXT, TEXT)
        shapes |= _norm(f"{layer}layer_norm1", TEXT) | _norm(f"{layer}layer_norm2", TEXT)
    return shapes | _norm("text_model.final_layer_norm", TEXT)


def t5() -> Shapes:
    """Two blocks; no biases in it."""
    first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    shapes: Shapes = {
        "shared.weight": (T5_VOCABULARY, TEXT),
        "encoder.final_layer_norm.weight": (TEXT,),
        first: (32, 1),
    }
    for block in (f"encoder.block.{i}." for i in range(2)):
        shapes |= {f"{block}layer.0.SelfAttention.{each}.weight": (TEXT, TEXT) for each in "qkvo"}
        shapes |= {
            f"{block}layer.1.DenseReluDense.wi_0.weight": (2 * TEXT, TEXT),
            f"{block}layer.1.DenseReluDense.wi_1.weight": (2 * TEXT, TEXT),
            f"{block}layer.1.DenseReluDense.wo.weight": (TEXT, 2 * TEXT),
            f"{block}layer.0.layer_norm.weight": (TEXT,),
            f"{block}layer.1.layer_norm.weight": (TEXT,),
        }
    return shapes


def vae() -> Shapes:
    """An encoder with two, a decoder with three residual blocks on each of four levels."""
    widths = [VAE_WIDTH * each for each in VAE_MULTIPLIERS]
    last = len(widths) - 1
    shapes = _conv("encoder.conv_in", 3, widths[0]) | _conv("decoder.conv_in", LATENT, widths[-1])
    for level, width in enumerate(widths):
        down, up = f"encoder.down.{level}.", f"decoder.up.{level}."
        shapes |= _residuals(f"{down}block", widths[max(level - 1, 0)], width, count=2)
        shapes |= _residuals(f"{up}block", widths[min(level + 1, last)], width, count=3)
        shapes |= _conv(f"{down}downsample.conv", width, width) if level < last else {}
        shapes |= _conv(f"{up}upsample.conv", width, width) if level > 0 else {}
    for half in ("encoder", "decoder"):
        for block in ("block_1", "block_2"):
            shapes |= _residual(f"{half}.mid.{block}", widths[-1], widths[-1])
        shapes |= _norm(f"{half}.mid.attn_1.norm", widths[-1])
        for projection in ("q", "k", "v", "proj_out"):
            shapes |= _conv(f"{half}.mid.attn_1.{projection}", widths[-1], widths[-1], kernel=1)
    shapes |= _norm("encoder.norm_out", widths[-1]) | _norm("decoder.norm_out", widths[0])
    shapes |= _conv("encoder.conv_out", widths[-1], 2 * LATENT)
    return shapes | _conv("decoder.conv_out", widths[0], 3)


def _under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def _linear(name: str, width: int, out: int) -> Shapes:
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def _conv(name: str, width: int, out: int, *, kernel: int = 3) -> Shapes:
    return {f"{name}.weight": (out, width, kernel, kernel), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _query_and_key_norms(name: str) -> Shapes:
    return {f"{name}.query_norm.scale": (HIDDEN,), f"{name}.key_norm.scale": (HIDDEN,)}


def _residuals(name: str, width: int, out: int, *, count: int) -> Shapes:
    shapes = _residual(f"{name}.0", width, out)
    for i in range(1, count):
        shapes |= _residual(f"{name}.{i}", out, out)
    return shapes


def _residual(name: str, width: int, out: int) -> Shapes:
    shapes = _norm(f"{name}.norm1", width) | _conv(f"{name}.conv1", width, out)
    shapes |= _norm(f"{name}.norm2", out) | _conv(f"{name}.conv2", out, out)
    return shapes | (_conv(f"{name}.nin_shortcut", width, out, kernel=1) if width != out else {})


def _write(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """A safetensors file: length of the header, header, half-precision tensors."""
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(_tensors(shapes))
    return path


def _tensors(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[bytes]:
    """Norms do nothing, biases are zero, the rest keeps the magnitude of what it is applied to."""
    rng = random.Random(0)
    for name, shape in shapes.items():
        size = math.prod(shape)
        if name.endswith(".bias"):
            yield bytes(2 * size)
        elif len(shape) == 1:
            yield struct.pack("<e", 1.0) * size
        else:
            yield _normal(rng, size, 1 / math.sqrt(math.prod(shape[1:])))


def _normal(rng: random.Random, size: int, deviation: float) -> bytes:
    """`size` halves drawn from 256 quantiles of a normal distribution, one random byte each."""
    halves = b"".join(struct.pack("<e", deviation * each) for each in QUANTILES)
    drawn = rng.randbytes(size)
    values = bytearray(2 * size)
    values[0::2] = drawn.translate(halves[0::2])
    values[1::2] = drawn.translate(halves[1::2])
    return bytes(values)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for made in make(Path(sys.argv[1])):
        sys.stdout.write(f"{made}\n")

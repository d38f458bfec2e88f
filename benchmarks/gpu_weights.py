"""Weights of the real sizes, made up: they cost what real ones cost, and their pictures are noise.

Values come from one random block that is read at a different place for each tensor, which is as
good for timing as fresh ones and a hundred times quicker to make.
"""

import json
import math
import struct
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import FileIO
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random

from tests.comfyui.micro import flux, instantid, sdxl, text, vae, zimage
from tests.comfyui.micro.shapes import Shapes, lora, under

BLOCK = 1 << 26
"""Random halves that tensors are cut from."""
WRITERS = 6


@dataclass(frozen=True)
class MadeUp:
    """One file: its tensors, in bfloat16 or in half precision."""

    shapes: Shapes
    bfloat16: bool = False


def files(sets: Collection[str] = ("flux", "faces")) -> Mapping[str, MadeUp]:
    """Path under models/ → what is in it: Flux dev, SDXL with InstantID, or Z-Image-Turbo. The VAE
    of Flux is Z-Image's too. In "micro", Flux dev is as small as in the tests."""
    made = {"flux": _flux, "faces": _faces, "z-image": _z_image, "micro": _micro}
    return {path: file for name in sets for path, file in made[name]().items()}


def _flux() -> Mapping[str, MadeUp]:
    return {
        "diffusion_models/flux1-dev.safetensors": MadeUp(
            flux.flux(guidance=True, sizes=flux.REAL), bfloat16=True
        ),
        "text_encoders/t5xxl_fp16.safetensors": MadeUp(text.t5(24, 4096, 64, 10240)),
        "text_encoders/clip_l.safetensors": MadeUp(text.clip_l(12, 768, inner=4)),
        "vae/ae.safetensors": MadeUp(vae.vae(flux.LATENT, 128)),
    }


def _faces() -> Mapping[str, MadeUp]:
    clip, clip_g = text.clip_l(12, 768, inner=4), text.clip_g(32, 1280, inner=4)
    return {
        "checkpoints/sd_xl_base_1.0.safetensors": MadeUp(
            {
                **under("model.diffusion_model.", sdxl.unet(sdxl.REAL)),
                **under("conditioner.embedders.0.transformer.", clip),
                **under("conditioner.embedders.1.model.", clip_g),
                **under("first_stage_model.", vae.vae(sdxl.LATENT, 128)),
            }
        ),
        "controlnet/instantid-controlnet.safetensors": MadeUp(sdxl.controlnet(sdxl.REAL)),
        "instantid/ip-adapter.safetensors": MadeUp(instantid.adapter(sdxl.REAL)),
    }


def _z_image() -> Mapping[str, MadeUp]:
    return {
        "diffusion_models/z_image_turbo_bf16.safetensors": MadeUp(
            zimage.z_image(zimage.REAL), bfloat16=True
        ),
        "text_encoders/qwen_3_4b.safetensors": MadeUp(text.qwen(text.QWEN_3_4B)),
        "vae/z-image-ae.safetensors": MadeUp(vae.vae(flux.LATENT, 128)),
    }


def _micro() -> Mapping[str, MadeUp]:
    sizes = replace(flux.MICRO, doubles=3, singles=3)
    return {
        "diffusion_models/flux1-dev.safetensors": MadeUp(
            flux.flux(guidance=True, sizes=sizes), bfloat16=True
        )
    }


LORA_RANK = 16
LORAS = ("ann", "bea")


def loras() -> Mapping[str, bytes]:
    """Two LoRAs for each of Flux's 228 linears but those of modulation, as ai-toolkit writes them:
    110 MB each."""
    blocks = flux.flux(guidance=True, sizes=flux.REAL)
    linears = {
        name.removesuffix(".weight"): (shape[1], shape[0])
        for name, shape in blocks.items()
        if "_blocks." in name and name.endswith(".weight") and "mod" not in name
    }
    shapes = lora(linears, rank=LORA_RANK)
    return {name: _file(shapes, at) for at, name in enumerate(LORAS)}


def _file(shapes: Shapes, seed: int) -> bytes:
    sizes = [2 * math.prod(shape) for shape in shapes.values()]
    ends = [0, *accumulate(sizes)]
    header = {
        name: {"dtype": "BF16", "shape": shape, "data_offsets": (start, end)}
        for (name, shape), (start, end) in zip(shapes.items(), pairwise(ends), strict=True)
    }
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    drawn = bytearray(Random(seed).randbytes(ends[-1]))
    drawn[1::2] = drawn[1::2].translate(bytes(HIGH_BYTES[True][value % 4] for value in range(256)))
    return struct.pack("<Q", len(told)) + told + bytes(drawn)


def make(models: Path, sets: Collection[str] = ("flux", "faces")) -> int:
    """Write what is not there yet. Returns the bytes of all."""
    blocks = {bfloat16: _random_block(bfloat16) for bfloat16 in HIGH_BYTES}
    with ThreadPoolExecutor(WRITERS) as pool:
        written = [
            pool.submit(_write, models / name, made, blocks[made.bfloat16])
            for name, made in files(sets).items()
        ]
        return sum(each.result() for each in written)


HIGH_BYTES: Mapping[bool, bytes] = {True: b"\x3c\xbc\x3b\xbb", False: b"\x20\xa0\x24\xa4"}
"""By whether it is bfloat16: sign and exponent of numbers of about 0.004 to 0.03, which keep the
magnitude of what they are applied to. Zeros would let the card clock higher."""


def _random_block(bfloat16: bool) -> bytes:
    drawn = bytearray(Random(0).randbytes(2 * BLOCK))
    high = HIGH_BYTES[bfloat16]
    drawn[1::2] = drawn[1::2].translate(bytes(high[value % 4] for value in range(256)))
    return bytes(drawn)


def _write(path: Path, made: MadeUp, block: bytes) -> int:
    header: dict[str, object] = {}
    end = 0
    for name, shape in made.shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        kind = "BF16" if made.bfloat16 else "F16"
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": (start, end)}
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    size = 8 + len(told) + end
    if path.exists() and path.stat().st_size == size:
        return size
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        file.write(struct.pack("<Q", len(told)) + told)
        for at, (name, shape) in enumerate(made.shapes.items()):
            _write_tensor(file, name, shape, block, at, bfloat16=made.bfloat16)
    return size


def _write_tensor(
    file: FileIO, name: str, shape: tuple[int, ...], block: bytes, at: int, *, bfloat16: bool
) -> None:
    left = 2 * math.prod(shape)
    if len(shape) == 1:  # norms do nothing, biases are zero
        one = (b"\x80\x3f" if bfloat16 else b"\x00\x3c") if not name.endswith("bias") else b"\0\0"
        file.write(one * math.prod(shape))
        return
    begin = 2 * (at * 7919 % (BLOCK // 2))
    view = memoryview(block)
    while left:
        written = file.write(view[begin : begin + left])
        left -= written
        begin = (begin + written) % len(view)

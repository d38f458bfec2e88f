"""Writes safetensors files of made-up weights: half precision, the same bytes every time."""

import json
import math
import random
import struct
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

from tests.comfyui.micro.shapes import Shapes

QUANTILES = tuple(NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256))


def write(path: Path, shapes: Shapes, *, hollow: Callable[[str], bool]) -> Path:
    """Length of the header, header, tensors; the hollow ones are zeros that take up no disk."""
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            if hollow(name):
                file.seek(2 * math.prod(shape), 1)
            else:
                file.write(_tensor(rng, name, shape))
        file.truncate(8 + len(text) + end)
    return path


def _tensor(rng: random.Random, name: str, shape: tuple[int, ...]) -> bytes:
    """Norms do nothing, biases are zero, the rest keeps the magnitude of what it is applied to."""
    size = math.prod(shape)
    if name.endswith("bias"):
        return bytes(2 * size)
    if len(shape) == 1:
        return struct.pack("<e", 1.0) * size
    return _normal(rng, size, 1 / math.sqrt(math.prod(shape[1:])))


def _normal(rng: random.Random, size: int, deviation: float) -> bytes:
    """`size` halves drawn from 256 quantiles of a normal distribution, one random byte each."""
    halves = b"".join(struct.pack("<e", deviation * each) for each in QUANTILES)
    drawn = rng.randbytes(size)
    values = bytearray(2 * size)
    values[0::2] = drawn.translate(halves[0::2])
    values[1::2] = drawn.translate(halves[1::2])
    return bytes(values)

"""Writes safetensors files, right ones and wrong ones, and LoRAs in the habits of many trainers."""

import json
import math
import random
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SIZES = {"F8_E4M3": 1, "F16": 2, "BF16": 2, "F32": 4, "I64": 8, "U8": 1}
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Spec:
    shape: Shape
    dtype: str = "F16"
    value: float | None = None
    """Written into every element (F16, F32 only); None is zeros."""

    @property
    def length(self) -> int:
        return math.prod(self.shape) * SIZES[self.dtype]

    def body(self) -> bytes:
        if self.value is None:
            return bytes(self.length)
        code = {"F16": "<e", "F32": "<f"}[self.dtype]
        return struct.pack(code, self.value) * math.prod(self.shape)


Specs = Mapping[str, Spec]


def entries(specs: Specs) -> dict[str, object]:
    """The header's table, tensors end to end."""
    table: dict[str, object] = {}
    end = 0
    for name, spec in specs.items():
        begin, end = end, end + spec.length
        table[name] = {"dtype": spec.dtype, "shape": spec.shape, "data_offsets": (begin, end)}
    return table


def with_header(header: object, body: bytes = b"") -> bytes:
    """A file with any header, right or wrong; bytes are taken as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def safetensors(specs: Specs, metadata: Mapping[str, str] | None = None) -> bytes:
    table = entries(specs)
    if metadata is not None:
        table = {"__metadata__": dict(metadata), **table}
    return with_header(table, b"".join(spec.body() for spec in specs.values()))


def write_sparse(path: Path, specs: Specs) -> Path:
    """The same file with holes for tensors: any size, little disk."""
    head = with_header(entries(specs))
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + sum(spec.length for spec in specs.values()))
    return path


KOHYA = (".lora_down.weight", ".lora_up.weight")
PEFT = (".lora_A.weight", ".lora_B.weight")
OLD_DIFFUSERS = ("_lora.down.weight", "_lora.up.weight")
X_FLUX = (".down.weight", ".up.weight")


def lora(
    linears: Mapping[str, tuple[int, int]],
    ends: tuple[str, str],
    rank: int,
    *,
    dtype: str = "F16",
    alpha: float | None = None,
) -> dict[str, Spec]:
    """Pairs for linears given as stem -> (outputs, inputs)."""
    specs: dict[str, Spec] = {}
    for stem, (out, wide) in linears.items():
        specs[stem + ends[0]] = Spec((rank, wide), dtype)
        specs[stem + ends[1]] = Spec((out, rank), dtype)
        if alpha is not None:
            specs[f"{stem}.alpha"] = Spec((), dtype, alpha)
    return specs


def prefixed(prefix: str, linears: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    return {prefix + name: shape for name, shape in linears.items()}


def underscored(prefix: str, linears: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    return {prefix + name.replace(".", "_"): shape for name, shape in linears.items()}


def flux_native(
    hidden: int = 3072, doubles: Iterable[int] = range(19), singles: Iterable[int] = range(38)
) -> dict[str, tuple[int, int]]:
    """The linears that trainers change, by Black Forest Labs' names."""
    h = hidden
    linears: dict[str, tuple[int, int]] = {}
    for i in doubles:
        for side in ("img", "txt"):
            linears[f"double_blocks.{i}.{side}_attn.qkv"] = (3 * h, h)
            linears[f"double_blocks.{i}.{side}_attn.proj"] = (h, h)
            linears[f"double_blocks.{i}.{side}_mlp.0"] = (4 * h, h)
            linears[f"double_blocks.{i}.{side}_mlp.2"] = (h, 4 * h)
    for i in singles:
        linears[f"single_blocks.{i}.linear1"] = (7 * h, h)
        linears[f"single_blocks.{i}.linear2"] = (h, 5 * h)
    return linears


def flux_diffusers(
    hidden: int = 3072, doubles: Iterable[int] = range(19), singles: Iterable[int] = range(38)
) -> dict[str, tuple[int, int]]:
    h = hidden
    linears: dict[str, tuple[int, int]] = {}
    for i in doubles:
        for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "to_add_out"):
            linears[f"transformer_blocks.{i}.attn.{name}"] = (h, h)
        linears[f"transformer_blocks.{i}.ff.net.0.proj"] = (4 * h, h)
        linears[f"transformer_blocks.{i}.ff_context.net.2"] = (h, 4 * h)
    for i in singles:
        linears[f"single_transformer_blocks.{i}.attn.to_q"] = (h, h)
        linears[f"single_transformer_blocks.{i}.proj_mlp"] = (4 * h, h)
        linears[f"single_transformer_blocks.{i}.proj_out"] = (h, 5 * h)
    return linears


def flux_processors(
    hidden: int = 3072, doubles: Iterable[int] = range(19), singles: Iterable[int] = range(38)
) -> dict[str, tuple[int, int]]:
    h = hidden
    linears: dict[str, tuple[int, int]] = {}
    for i in doubles:
        for n in (1, 2):
            linears[f"double_blocks.{i}.processor.qkv_lora{n}"] = (3 * h, h)
            linears[f"double_blocks.{i}.processor.proj_lora{n}"] = (h, h)
    for i in singles:
        linears[f"single_blocks.{i}.processor.qkv_lora"] = (3 * h, h)
        linears[f"single_blocks.{i}.processor.proj_lora"] = (h, 5 * h)
    return linears


def unet_attention(block: str, width: int, context: int, depth: int) -> dict[str, tuple[int, int]]:
    """The transformers of one attention block of SD 1.x or SDXL."""
    linears: dict[str, tuple[int, int]] = {}
    for i in range(depth):
        at = f"{block}.transformer_blocks.{i}"
        linears[f"{at}.attn1.to_q"] = (width, width)
        linears[f"{at}.attn1.to_out.0"] = (width, width)
        linears[f"{at}.attn2.to_k"] = (width, context)
        linears[f"{at}.ff.net.0.proj"] = (8 * width, width)
    return linears


def z_image_native(dim: int = 3840, feed_forward: int = 10_240) -> dict[str, tuple[int, int]]:
    linears: dict[str, tuple[int, int]] = {}
    for block in [f"layers.{i}" for i in range(30)] + ["context_refiner.1", "noise_refiner.0"]:
        linears[f"{block}.attention.qkv"] = (3 * dim, dim)
        linears[f"{block}.attention.out"] = (dim, dim)
        linears[f"{block}.feed_forward.w2"] = (dim, feed_forward)
    return linears


def z_image_diffusers(dim: int = 3840) -> dict[str, tuple[int, int]]:
    names = ("to_q", "to_k", "to_v", "to_out.0")
    return {f"layers.{i}.attention.{name}": (dim, dim) for i in range(30) for name in names}


def wan(dim: int = 1536) -> dict[str, tuple[int, int]]:
    names = ("self_attn.q", "cross_attn.k", "self_attn.o")
    return {f"blocks.{i}.{name}": (dim, dim) for i in range(30) for name in names}


def randomised(specs: Specs, seed: int = 0) -> bytes:
    """As `safetensors`, of small random halves instead of zeros (alphas keep their value)."""
    rng = random.Random(seed)
    body = b"".join(
        spec.body()
        if spec.value is not None
        else b"".join(struct.pack("<e", rng.gauss(0, 0.05)) for _ in range(math.prod(spec.shape)))
        for spec in specs.values()
    )
    return with_header(entries(specs), body)

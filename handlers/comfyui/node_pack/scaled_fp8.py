"""Weights in 8 bits with a scale a row, and products with inputs that are scaled a row too.

On a card with units for it such a product takes half the time of one in bfloat16; an H200 made a
step of Flux in 94 ms for 127. Unscaled 8 bits, as ComfyUI's own fast fp8 has them, are as fast and
have 2.2 times the error.

A scale is set once, from the weight without LoRAs, so that the largest of a row is half of what 8
bits hold. Numbers of a floating point lose nothing by that, and a LoRA that is merged later has
room under the scale that stands.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn.functional import linear

from .compiled_blocks import LISTS

DTYPE = torch.float8_e4m3fn
LARGEST = 448.0
"""Of the numbers of DTYPE."""
ROOM_FOR_LORAS = 2.0
SMALLEST_ROW = 1 / 32
"""Rows whose largest is below this share of the tensor's are scaled as if it were this, so that a
LoRA has room in a row of zeros too."""
SMALLEST_SCALE = 1e-12
UNITS_SINCE = (8, 9)
"""Compute capability."""
MULTIPLE = 16
"""Of both sides of a weight, which the product asks for."""
BLOCK_WEIGHT = re.compile(rf"(?:.*\.)?(?:{'|'.join(LISTS)})\.\d+\.(.+)\.weight")
KEEPS_ITS_TYPE = re.compile("mod|adaLN")
"""Modulations are of one row, whose time is that of reading them, and their errors act on all."""


@dataclass(frozen=True)
class Scaled:
    """Of a weight in 8 bits, (out, in)."""

    name: str
    """Of its original in the file."""
    scale: torch.Tensor
    """(out, 1), in 32 bits."""
    original: Callable[[], torch.Tensor]
    """Reads it."""


NOTE = "ryla_scaled"
"""Attribute of a weight's tensor: its Scaled, on the way through ComfyUI, which gives tensors other
names."""


def has_units(device: torch.device) -> bool:
    """Also of the processor, where products are reckoned in 32 bits: for tests."""
    if device.type == "cpu":
        return True
    nvidia = device.type == "cuda" and torch.version.hip is None
    return nvidia and torch.cuda.get_device_capability(device) >= UNITS_SINCE


def is_scaled(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> bool:
    """Whether this tensor of a file is a weight of a block's Linear layer, in bfloat16."""
    found = BLOCK_WEIGHT.fullmatch(name)
    return (
        found is not None
        and KEEPS_ITS_TYPE.search(found[1]) is None
        and dtype is torch.bfloat16
        and len(shape) == 2
        and not any(side % MULTIPLE for side in shape)
    )


def put_in_eight_bits(
    state: dict[str, torch.Tensor], read: Callable[[str], torch.Tensor]
) -> frozenset[str]:
    """Puts weights of blocks in 8 bits into `state`, one after the other, so that no more than one
    lies there twice. Returns their names; `read` reads an original by its name."""
    names = frozenset(
        name for name, each in state.items() if is_scaled(name, tuple(each.shape), each.dtype)
    )
    for name in names:
        scale = scale_of(state[name])
        state[name] = rounded(state[name], scale)
        setattr(state[name], NOTE, Scaled(name, scale, partial(read, name)))
    return names


def scale_of(weight: torch.Tensor) -> torch.Tensor:
    """(out, 1), in 32 bits."""
    largest = weight.abs().amax(1, keepdim=True).float()
    largest = largest.maximum(largest.amax() * SMALLEST_ROW)
    return (largest * (ROOM_FOR_LORAS / LARGEST)).clamp_(min=SMALLEST_SCALE)


def rounded(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """In 8 bits under this scale; equal inputs give equal bytes."""
    return torch.div(weight, scale).clamp_(-LARGEST, LARGEST).to(DTYPE)


def in_full(weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return (weight.float() * scale).to(dtype)


def product(
    x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """x (…, in) times the transposed weight (out, in), plus bias (out), in the type of x."""
    rows = x.reshape(-1, x.shape[-1])
    by = (rows.abs().amax(1, keepdim=True).float() / LARGEST).clamp(min=SMALLEST_SCALE)
    small = (rows.float() / by).clamp(-LARGEST, LARGEST).to(DTYPE)
    if x.device.type == "cuda":
        out = torch._scaled_mm(
            small,
            weight.t(),
            scale_a=by,
            scale_b=scale.t(),
            bias=None if bias is None else bias.to(torch.bfloat16),
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
    else:
        whole = None if bias is None else bias.float()
        out = linear(small.float() * by, weight.float() * scale, whole)
    return out.to(x.dtype).reshape(*x.shape[:-1], -1)

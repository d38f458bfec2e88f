"""The least that a step of Flux can take on this card: its arithmetic, and nothing else."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

HIDDEN, HEADS, DOUBLES, SINGLES = 3072, 24, 19, 38
PICTURE, TEXT = 4096, 256
"""Tokens at 1024 x 1024, and of a prompt."""
WARM_UP_S, MEASURED_S = 2.0, 2.5
"""Long enough for the card to clock as it does in a picture."""

Product = tuple[int, int, int]
"""Rows, inputs, outputs."""


def card() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "processor"


def products() -> list[Product]:
    """The matrix products of one step's blocks, the modulations of a single row left out."""
    h, both = HIDDEN, PICTURE + TEXT
    of_stream = [(h, 3 * h), (h, h), (h, 4 * h), (4 * h, h)]
    double = [(rows, a, b) for rows in (PICTURE, TEXT) for a, b in of_stream]
    single = [(both, h, 7 * h), (both, 5 * h, h)]
    return [*double * DOUBLES, *single * SINGLES]


def sustained_step_s(*, fp8: bool = False) -> float:
    """Seconds a step in bfloat16, or with products in 8 bits with a scale a row, over some seconds;
    not a number without a GPU for it."""
    if not torch.cuda.is_available():
        return math.nan
    if fp8 and torch.cuda.get_device_capability() < (8, 9):
        return math.nan
    run = _step(_scaled_product if fp8 else _product)
    _for(run, WARM_UP_S)
    return _for(run, MEASURED_S)


def _for(run: Any, seconds: float) -> float:
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        run()
        torch.cuda.synchronize()
        count += 1
    return (time.perf_counter() - began) / count


Run = Callable[[], Any]


def _step(prepared: Callable[[Product], Run]) -> Run:
    of_shape = {shape: prepared(shape) for shape in set(products())}
    q = torch.randn(
        (1, HEADS, PICTURE + TEXT, HIDDEN // HEADS), device="cuda", dtype=torch.bfloat16
    )

    def run() -> None:
        for shape in products():
            of_shape[shape]()
        for _ in range(DOUBLES + SINGLES):
            scaled_dot_product_attention(q, q, q)

    return run


def _product(shape: Product) -> Run:
    given, weight = _tensor(shape[0], shape[1]), _tensor(shape[2], shape[1]) * 0.02
    return lambda: torch.nn.functional.linear(given, weight)


def _scaled_product(shape: Product) -> Run:
    """Of inputs that are in 8 bits already."""
    rows, inputs, outputs = shape
    given, weight = (
        _tensor(side, inputs).clamp(-448, 448).to(torch.float8_e4m3fn) for side in (rows, outputs)
    )
    scale_a, scale_b = (torch.full(side, 0.01, device="cuda") for side in ((rows, 1), (1, outputs)))
    return lambda: torch._scaled_mm(
        given,
        weight.t(),
        scale_a=scale_a,
        scale_b=scale_b,
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    )


def _tensor(rows: int, columns: int) -> Any:
    return torch.randn((rows, columns), device="cuda", dtype=torch.bfloat16)

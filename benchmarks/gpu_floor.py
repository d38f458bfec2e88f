"""The least that a step of Flux can take on this card: its arithmetic, and nothing else."""

import math
import time
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


def sustained_step_s() -> float:
    """Seconds a step in bfloat16, over some seconds; not a number without a GPU."""
    if not torch.cuda.is_available():
        return math.nan
    run = _step()
    _for(run, WARM_UP_S)
    return _for(run, MEASURED_S)


def _for(run: Any, seconds: float) -> float:
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        run()
        torch.cuda.synchronize()
        count += 1
    return (time.perf_counter() - began) / count


def _step() -> Any:
    shapes = set(products())
    given = {shape: _tensor(shape[0], shape[1]) for shape in shapes}
    weights = {shape: _tensor(shape[2], shape[1]) * 0.02 for shape in shapes}
    q = torch.randn(
        (1, HEADS, PICTURE + TEXT, HIDDEN // HEADS), device="cuda", dtype=torch.bfloat16
    )

    def run() -> None:
        for shape in products():
            torch.nn.functional.linear(given[shape], weights[shape])
        for _ in range(DOUBLES + SINGLES):
            scaled_dot_product_attention(q, q, q)

    return run


def _tensor(rows: int, columns: int) -> Any:
    return torch.randn((rows, columns), device="cuda", dtype=torch.bfloat16)

"""Prints which attention is faster on this card, as JSON: run by ComfyUI's Python, in a process of
its own, since a kernel that ran first was seen to leave later ones slower.

ComfyUI 0.33 prefers flash attention on Linux. On Hopper cuDNN's takes half of its time, 20 ms a
step of Flux at 1024 x 1024.
"""

import json
import sys
from statistics import median
from time import perf_counter

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

SHAPE = (1, 24, 4352, 128)
"""Of Flux at 1024 x 1024: 24 heads of 128, 256 tokens of text and 4,096 of picture."""
FIRST = (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION)
"""ComfyUI's order."""
ROUNDS = 20
WORTH = 0.95
"""torch's choice must take at most this share of flash attention's time to be taken."""


def main() -> None:
    if not torch.cuda.is_available():
        sys.stdout.write(json.dumps({"attention": "comfyui", "why": "no GPU"}))
        return
    q, k, v = (torch.randn(SHAPE, device="cuda", dtype=torch.bfloat16) for _ in range(3))

    def by_torch() -> None:
        scaled_dot_product_attention(q, k, v)

    def flash_first() -> None:
        with sdpa_kernel(list(FIRST), set_priority=True):  # else torch keeps its own order
            scaled_dot_product_attention(q, k, v)

    torch_ms, flash_ms = seconds(by_torch) * 1e3, seconds(flash_first) * 1e3
    chosen = "torch" if torch_ms <= WORTH * flash_ms else "comfyui"
    told = {"attention": chosen, "torch_ms": torch_ms, "flash_ms": flash_ms}
    sys.stdout.write(json.dumps({**told, "card": torch.cuda.get_device_name()}))


def seconds(run: object) -> float:
    """The median of some rounds, after three to warm up."""
    assert callable(run)
    taken = []
    for at in range(ROUNDS + 3):
        torch.cuda.synchronize()
        began = perf_counter()
        run()
        torch.cuda.synchronize()
        taken += [perf_counter() - began] if at >= 3 else []
    return median(taken)


if __name__ == "__main__":
    main()

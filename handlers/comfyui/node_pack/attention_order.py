"""torch's order of attention kernels, as torch itself means it.

On Hopper and Blackwell torch prefers cuDNN's attention, and settles that order at its first
attention. ComfyUI 0.33 runs each one in a context with an order of its own, flash first. If such a
one is the first of the process, then what the context puts back at its end is the order from before
torch settled, and it stays so: every later attention is flash, twice as slow on an H200 and 20 ms a
step of Flux. So a small attention runs before ComfyUI's first.
"""

import torch
from torch.nn.functional import scaled_dot_product_attention

SHAPE = (1, 1, 64, 64)


class AttentionOrder:
    def __init__(self) -> None:
        self._settled = False

    def settle(self) -> None:
        """Once, and only where the process uses a GPU already: asking whether there is one would
        begin to."""
        if self._settled or not torch.cuda.is_initialized():
            return
        self._settled = True
        small = torch.zeros(SHAPE, device="cuda", dtype=torch.float16)
        scaled_dot_product_attention(small, small, small)


ATTENTION_ORDER = AttentionOrder()

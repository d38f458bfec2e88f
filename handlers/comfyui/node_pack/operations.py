"""ComfyUI's layers, whose weights may stay where they were read to, or lie there in 8 bits."""

from functools import cache
from typing import Any

import torch
from torch.nn.functional import linear

from .scaled_fp8 import DTYPE, NOTE, Scaled, in_full, product, rounded


@cache  # what is compiled for a model holds for the next one of the same classes
def taking_weights_over(base: Any) -> Any:
    """`base`, one of ComfyUI's sets of layers, with a Linear that takes tensors of its own shape
    and type from a state dict as they are, on whichever device. ComfyUI would copy them to main
    memory first."""

    class Linear(base.Linear):  # type: ignore[misc]
        def _load_from_state_dict(self, state: Any, prefix: str, *others: Any) -> None:
            for name in ("weight", "bias"):
                own, given = getattr(self, name, None), state.get(prefix + name)
                if own is not None and given is not None and same_kind(own, given):
                    setattr(self, name, torch.nn.Parameter(given, requires_grad=False))
            super()._load_from_state_dict(state, prefix, *others)

    return type("Operations", (base,), {"Linear": Linear})


def same_kind(own: torch.Tensor, given: torch.Tensor) -> bool:
    return bool(own.shape == given.shape and own.dtype == given.dtype)


class LinearInEightBits(torch.nn.Linear):  # type: ignore[misc]
    """What a Linear of ComfyUI's does otherwise where it is given a weight in 8 bits. It stands
    before that one among the bases of a class, and leaves all else to it."""

    weight: Any
    original: Any
    source: str | None = None
    """The name of its original in the file, where it is in 8 bits. A forward does not look at it:
    what it looked at would have to be equal for layers to share what was compiled."""

    def _load_from_state_dict(self, state: Any, prefix: str, *others: Any) -> None:
        given = state.get(prefix + "weight")
        found: Scaled | None = getattr(given, NOTE, None)
        if found is not None and self.weight.shape == given.shape:
            self.source, self.original = found.name, found.original
            self.weight = torch.nn.Parameter(given, requires_grad=False)
            self.register_buffer("scale", found.scale, persistent=False)
        super()._load_from_state_dict(state, prefix, *others)

    def forward(self, x: torch.Tensor, *others: Any, **named: Any) -> Any:
        if self.weight.dtype is not DTYPE:
            return super().forward(x, *others, **named)
        if self.weight.device == x.device and not getattr(self, "weight_function", ()):
            return product(x, self.weight, self.scale, self.bias)
        return self._moved(x)

    def _moved(self, x: torch.Tensor) -> torch.Tensor:
        """Where ComfyUI had no room for this layer on the card, or patches it as it goes."""
        weight = in_full(self.weight.to(x.device), self.scale.to(x.device), x.dtype)
        for function in getattr(self, "weight_function", ()):
            weight = function(weight)
        bias = None if self.bias is None else self.bias.to(x.device, x.dtype)
        for function in getattr(self, "bias_function", ()):
            bias = function(bias)
        return linear(x, weight, bias)

    def convert_weight(self, weight: torch.Tensor, **_: Any) -> torch.Tensor:
        """What ComfyUI patches: rounded twice, most of a usual LoRA would be lost."""
        if self.source is None:
            return weight
        return self.original().to(weight.device, weight.dtype)

    def set_weight(
        self,
        weight: torch.Tensor,
        *,
        inplace_update: bool = False,
        return_weight: bool = False,
        **_: Any,
    ) -> torch.Tensor | None:
        """What ComfyUI patched, in this layer's own type."""
        own = self._in_own_type(weight)
        if return_weight:
            return own
        if inplace_update:
            self.weight.data.copy_(own)
        else:
            self.weight = torch.nn.Parameter(own, requires_grad=False)
        return None

    def _in_own_type(self, weight: torch.Tensor) -> torch.Tensor:
        if self.source is None:
            return weight.to(self.weight.dtype)
        return rounded(weight, self.scale.to(weight.device))


@cache
def with_scales(base: Any) -> Any:
    """The same, where a Linear that is given a weight in 8 bits computes with it."""
    operations: Any = taking_weights_over(base)
    layer = type("Linear", (LinearInEightBits, operations.Linear), {})
    return type("Operations", (operations,), {"Linear": layer})

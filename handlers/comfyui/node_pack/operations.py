"""ComfyUI's layers, whose weights may stay where they were read to."""

from typing import Any

import torch


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

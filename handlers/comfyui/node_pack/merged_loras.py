"""LoRAs added into a model's weights where they lie, and taken out again to the last bit.

ComfyUI adds in 32 bits tensor by tensor and moves originals through main memory: 0.4 to 25 s a
switch. With the originals kept on the card, a switch is one matrix product a weight: 0.024 s for
the 228 of Flux on an H200. Addresses stay, so that what was compiled stays valid. Where originals
are, and how a weight is written, is the business of originals.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from .originals import Originals

Slice = tuple[int, int, int]
"""Dimension, start and length of the part of a fused weight that a factor belongs to."""


@dataclass(frozen=True)
class Factors:
    """What a LoRA adds to one weight: `up` (out, rank) times `down` (rank, in) times `scale`."""

    key: str
    """Of the weight in the model, with `.weight`."""
    up: torch.Tensor
    down: torch.Tensor
    scale: float
    part: Slice | None = None


@dataclass(frozen=True)
class Lora:
    """One LoRA at one strength. Equal names stand for equal files."""

    name: str
    strength: float
    factors: Sequence[Factors] = field(compare=False, repr=False)
    patches: Mapping[Any, Any] = field(compare=False, repr=False)
    """The same as ComfyUI reads it, for where factors cannot be used."""


def factors(patches: Mapping[Any, Any]) -> list[Factors] | None:
    """Of ComfyUI's patches (key, or key and slice → adapter); None where one is not a plain LoRA:
    DoRA, LoKr, LoHa, differences, convolutions with a core, reshaped weights."""
    found = []
    for key, adapter in patches.items():
        weights = getattr(adapter, "weights", None)
        if getattr(adapter, "name", None) != "lora" or weights is None:
            return None
        up, down, alpha, middle, dora_scale, reshape = weights
        if middle is not None or dora_scale is not None or reshape is not None:
            return None
        if isinstance(key, tuple) and len(key) > 2:
            return None  # a function of ComfyUI's is to be applied to the product
        name, part = key if isinstance(key, tuple) else (key, None)
        down = down.flatten(1)
        scale = 1.0 if alpha is None else float(alpha) / down.shape[0]
        found.append(Factors(name, up.flatten(1), down, scale, part))
    return found


class MergedLoras:
    """Which LoRAs are in the weights of one model now, and what these were without."""

    def __init__(self, originals: Originals) -> None:
        self._originals = originals
        self._applied: tuple[Lora, ...] | None = ()
        """None while, and after, a change that did not come to its end."""
        self._changed: set[str] = set()
        """Keys of the weights that may differ from their originals."""
        self._on_card: dict[Lora, dict[int, tuple[torch.Tensor, torch.Tensor]]] = {}

    def apply(self, loras: Sequence[Lora]) -> None:
        """From now on these LoRAs, in this order, and no others are in the weights.

        Whatever fails on the way leaves nothing behind that the next call does not put right.
        """
        wanted = tuple(loras)
        if wanted == self._applied:
            return
        self._applied = None
        by_key: dict[str, list[tuple[Lora, int, Factors]]] = {}
        for lora in wanted:
            for at, each in enumerate(lora.factors):
                by_key.setdefault(each.key, []).append((lora, at, each))
        with torch.inference_mode():
            self._put_back(self._changed - by_key.keys())
            self._originals.keep(by_key)
            for key, adding in by_key.items():
                self._changed.add(key)
                self._merge(key, adding)
        self._changed = set(by_key)
        self._applied = wanted
        self._on_card = {lora: held for lora, held in self._on_card.items() if lora in wanted}

    def restore(self) -> None:
        """The weights as they were, and nothing kept: before others change or move them."""
        with torch.inference_mode():
            self._put_back(self._changed)
        self._originals.drop()
        self._applied, self._changed, self._on_card = (), set(), {}

    def _put_back(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._originals.write(key, self._originals.copy(key))

    def _merge(self, key: str, adding: Iterable[tuple[Lora, int, Factors]]) -> None:
        weight = self._originals.copy(key)
        for lora, at, each in adding:
            up, down = self._factors_on_card(lora, at, each, weight)
            target = weight.flatten(1) if each.part is None else weight.narrow(*each.part)
            target.addmm_(up, down, alpha=lora.strength * each.scale)
        self._originals.write(key, weight)

    def _factors_on_card(
        self, lora: Lora, at: int, each: Factors, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        held = self._on_card.setdefault(lora, {})
        if at not in held or held[at][0].device != weight.device:
            up, down = (part.to(weight.device, weight.dtype) for part in (each.up, each.down))
            held[at] = up, down
        return held[at]

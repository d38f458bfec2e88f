"""What a model's weights are without LoRAs, and how a weight with LoRAs is written.

A weight in full is merged where it lies, and its original is a copy. One in 8 bits cannot be: half
of a LoRA is smaller than the steps between its numbers. Its original is read from the file again,
merged in full beside it, and rounded once.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from . import weight_file
from .scaled_fp8 import rounded

WeightOf = Callable[[str], torch.Tensor]
"""Finds a weight of the model by its key."""
Room = Callable[[], int]
"""Bytes of the card that originals may take."""


class Originals(Protocol):
    """Of one model, by the keys of its weights."""

    def keep(self, keys: Collection[str]) -> None:
        """Called before any of these weights is changed."""

    def copy(self, key: str) -> torch.Tensor:
        """A kept original on the card, to be added into. It may be the weight itself."""

    def write(self, key: str, merged: torch.Tensor) -> None:
        """`merged` is what copy() gave, with what was added. The weight stays where it lies."""

    def drop(self) -> None:
        """Keep none."""


@dataclass
class InPlace:
    """Of weights that are merged where they lie."""

    weight_of: WeightOf
    room: Room
    _kept: dict[str, torch.Tensor] = field(default_factory=dict)

    def keep(self, keys: Collection[str]) -> None:
        for key in keys:
            if key not in self._kept:
                self._kept[key] = self._copied(self.weight_of(key))

    def _copied(self, weight: torch.Tensor) -> torch.Tensor:
        if weight.device.type != "cuda" or weight.nbytes <= self.room():
            return weight.clone()
        kept = torch.empty_like(weight, device="cpu", pin_memory=True)
        return kept.copy_(weight)

    def copy(self, key: str) -> torch.Tensor:
        return self.weight_of(key).copy_(self._kept[key], non_blocking=True)

    def write(self, key: str, merged: torch.Tensor) -> None:
        """It is the weight already."""

    def drop(self) -> None:
        self._kept.clear()


class ScaledLayer(Protocol):
    """A Linear of operations.py in 8 bits."""

    source: str
    """The name of its original in the file."""
    weight: torch.Tensor
    scale: torch.Tensor


@dataclass
class OfFile:
    """Of a model whose weights are in 8 bits as far as `scaled` names them by key."""

    path: Path
    scaled: Mapping[str, ScaledLayer]
    others: Originals
    room: Room
    _kept: dict[str, torch.Tensor] = field(default_factory=dict)

    def keep(self, keys: Collection[str]) -> None:
        self.others.keep([key for key in keys if key not in self.scaled])
        missing = [key for key in keys if key in self.scaled and key not in self._kept]
        on_card: list[str] = []
        left = self.room()
        for key in missing:
            left -= 2 * self.scaled[key].weight.nbytes  # in 16 bits
            if left < 0:
                break
            on_card.append(key)
        self._read(on_card, None)
        self._read(missing[len(on_card) :], torch.device("cpu"))

    def _read(self, keys: Collection[str], device: torch.device | None) -> None:
        """On `device`, where each weight lies if it is None."""
        if not keys:
            return
        own = next(self.scaled[key].weight.device for key in keys)
        read = weight_file.read(self.path, device or own, {self.scaled[key].source for key in keys})
        for key in keys:
            found = read[self.scaled[key].source]
            pinned = found.device.type == "cpu" and own.type == "cuda"
            self._kept[key] = found.pin_memory() if pinned else found

    def copy(self, key: str) -> torch.Tensor:
        if key not in self.scaled:
            return self.others.copy(key)
        device = self.scaled[key].weight.device
        return self._kept[key].to(device, copy=True, non_blocking=True)

    def write(self, key: str, merged: torch.Tensor) -> None:
        if key not in self.scaled:
            self.others.write(key, merged)
            return
        weight, scale = self.scaled[key].weight.data, self.scaled[key].scale
        weight.copy_(rounded(merged, scale))

    def drop(self) -> None:
        self.others.drop()
        self._kept.clear()

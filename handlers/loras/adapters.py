"""What a LoRA file holds for each layer: the tensors that ComfyUI reads together, by their role.

ComfyUI 0.33.0 knows a tensor by its layer's name (the stem) and an ending. A LoRA changes a layer's
matrix by the product of two thin ones, LoHa by the product, number by number, of two such products,
LoKr by the Kronecker product of a small matrix with a large one; either of these may be a product
itself. DoRA is any of them with the length of each row (or column) of the result beside it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from config.errors import LoraMismatch
from handlers.loras.header import Header, Tensor, quoted


class AdapterKind(StrEnum):
    LORA = "lora"
    LOHA = "loha"
    LOKR = "lokr"
    DIFF = "diff"
    """The change itself, as large as the layer."""


# Ends of down and up. The order decides: some are ends of others.
_PAIRS = (
    (".lora_down.weight", ".lora_up.weight"),
    ("_lora.down.weight", "_lora.up.weight"),
    (".lora_A.weight", ".lora_B.weight"),
    (".lora_A.default.weight", ".lora_B.default.weight"),
    (".lora.down.weight", ".lora.up.weight"),
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    (".lora_A", ".lora_B"),
)
_X_FLUX_PAIRS = ((".down.weight", ".up.weight"),)
X_FLUX_NAME = re.compile(r"(double|single)_blocks\.\d+\.processor\.")
_MIDDLE = ".lora_mid.weight"
_WITH_MIDDLE = _PAIRS[0]

_OTHERS: Mapping[str, tuple[AdapterKind, str]] = MappingProxyType(
    {
        **{f".hada_{role}": (AdapterKind.LOHA, role)
           for role in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
        **{f".lokr_{role}": (AdapterKind.LOKR, role)
           for role in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
        ".diff": (AdapterKind.DIFF, "diff"),
    }
)  # fmt: skip
_BESIDE = (".alpha", ".dora_scale", ".diff_b")
_TEXT_ENCODERS = ("lora_te", "text_encoder")


@dataclass(frozen=True)
class Adapter:
    """All that a file says of one layer."""

    stem: str
    """The layer's name as the file has it."""
    kind: AdapterKind
    parts: Mapping[str, Tensor]
    """By role: down (rank by inputs), up (outputs by rank) and mid of a LoRA; w1, w2, their
    factors and cores of the others; diff."""
    alpha: Tensor | None = None
    """One number: the change counts alpha ÷ rank times; without it, once."""
    dora_scale: Tensor | None = None
    bias: Tensor | None = None
    """Added to the layer's own."""

    @property
    def first(self) -> Tensor:
        return next(iter(self.parts.values()))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        beside = (self.alpha, self.dora_scale, self.bias)
        return (*self.parts.values(), *(each for each in beside if each is not None))

    @property
    def rank(self) -> int:
        """Inner width of the product; 0 where there is none."""
        inner = next((self.parts[role] for role in _INNER if role in self.parts), None)
        return inner.shape[0] if inner is not None and inner.shape else 0

    @property
    def of_text_encoder(self) -> bool:
        return self.stem.startswith(_TEXT_ENCODERS)


_INNER = ("down", "w2_b", "w1_b")
"""Roles whose first side is the rank, in the order in which ComfyUI divides alpha by it."""


@dataclass
class _Layer:
    parts: dict[str, Tensor] = field(default_factory=dict)
    beside: dict[str, Tensor] = field(default_factory=dict)
    kind: AdapterKind | None = None
    pair: tuple[str, str] | None = None
    """Endings of down and up."""


def read_adapters(header: Header) -> tuple[list[Adapter], list[str]]:
    """Every adapter in the file's order, and the names of the tensors that ComfyUI leaves out.

    Raises LoraMismatch at half a pair.
    """
    layers: dict[str, _Layer] = {}
    unread: list[str] = []
    for name, tensor in header.tensors.items():
        if not _take(layers, name, tensor):
            unread.append(name)
    for stem, layer in layers.items():
        if layer.kind is None:
            unread += [tensor.name for tensor in (*layer.beside.values(), *layer.parts.values())]
        elif layer.kind is AdapterKind.LORA:
            _require_both(stem, layer)
        elif "mid" in layer.parts:
            unread.append(layer.parts.pop("mid").name)
    made = [
        Adapter(
            stem,
            layer.kind,
            layer.parts,
            layer.beside.get(".alpha"),
            layer.beside.get(".dora_scale"),
            layer.beside.get(".diff_b"),
        )
        for stem, layer in layers.items()
        if layer.kind is not None
    ]
    return made, [name for name in unread if not name.startswith(_TEXT_ENCODERS)]


def _take(layers: dict[str, _Layer], name: str, tensor: Tensor) -> bool:
    """Whether ComfyUI uses the tensor. The adapter of a layer that comes first counts."""
    for pair in _X_FLUX_PAIRS if X_FLUX_NAME.match(name) else _PAIRS:
        for role, ending in zip(("down", "up"), pair, strict=True):
            if name.endswith(ending):
                layer = layers.setdefault(name.removesuffix(ending), _Layer())
                if layer.kind is None and not layer.parts.keys() - {"mid"}:
                    layer.kind, layer.pair = AdapterKind.LORA, pair
                return layer.pair == pair and _put(layer.parts, role, tensor)
    if name.endswith(_MIDDLE):
        layer = layers.setdefault(name.removesuffix(_MIDDLE), _Layer())
        return layer.pair in (None, _WITH_MIDDLE) and _put(layer.parts, "mid", tensor)
    for ending, (kind, role) in _OTHERS.items():
        if name.endswith(ending):
            layer = layers.setdefault(name.removesuffix(ending), _Layer())
            layer.kind = layer.kind or kind
            return layer.kind is kind and _put(layer.parts, role, tensor)
    for ending in _BESIDE:
        if name.endswith(ending):
            layer = layers.setdefault(name.removesuffix(ending), _Layer())
            return _put(layer.beside, ending, tensor)
    return False


def _put(parts: dict[str, Tensor], role: str, tensor: Tensor) -> bool:
    return parts.setdefault(role, tensor) is tensor


def _require_both(stem: str, layer: _Layer) -> None:
    assert layer.pair is not None
    for role, other, ending in (("down", "up", layer.pair[1]), ("up", "down", layer.pair[0])):
        if role in layer.parts and other not in layer.parts:
            have = quoted(layer.parts[role].name)
            raise LoraMismatch(f"{have} has no {quoted(stem + ending)} beside it")

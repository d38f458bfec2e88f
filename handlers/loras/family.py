"""What a LoRA was made for, told from the names and shapes in its header.

A LoRA changes a linear layer by the product of two thin matrices, down and up. Each trainer has
its own way of naming the layer (the stem) and the two matrices (the ending).
"""

import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.errors import LoraMismatch
from handlers.loras.header import Header, Ranges, Tensor, quoted


class Family(StrEnum):
    """Base models whose LoRAs fit each other's place. The first three are those of models.toml."""

    FLUX = "flux"
    SDXL = "sdxl"
    Z_IMAGE = "z-image"
    SD1 = "sd1"
    WAN = "wan"
    UNKNOWN = "unknown"


class KeyFormat(StrEnum):
    """How the stems of the keys begin, which tells the trainer that wrote them."""

    KOHYA = "kohya"
    DIFFUSERS = "diffusers"
    AI_TOOLKIT = "ai-toolkit"
    X_FLUX = "x-flux"
    ONETRAINER = "onetrainer"
    LYCORIS = "lycoris"
    BFL = "bfl"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Pair:
    """The two matrices of one layer, and what goes with them."""

    stem: str
    """The layer's name as the file has it."""
    down: Tensor
    """rank by inputs."""
    up: Tensor
    """outputs by rank."""
    middle: Tensor | None = None
    """Of a convolution taken apart into three."""
    alpha: Tensor | None = None
    """One number: the product counts alpha ÷ rank times; without it, once."""

    @property
    def rank(self) -> int:
        """Inner width of the product; 0 where `down` is no matrix."""
        return self.down.shape[0] if self.down.shape else 0

    @property
    def of_text_encoder(self) -> bool:
        return self.stem.startswith(("lora_te", "text_encoder"))


@dataclass(frozen=True)
class Lora:
    family: Family
    key_format: KeyFormat
    pairs: Sequence[Pair]
    """Of the diffusion model, in the file's order."""
    text_encoder_pairs: Sequence[Pair]
    """A loader for the model alone leaves them out."""
    unmatched: Sequence[str]
    """Tensors that belong to no pair."""
    metadata: Mapping[str, str]

    @property
    def ranks(self) -> tuple[int, ...]:
        """Each rank that occurs, ascending."""
        return tuple(sorted({pair.rank for pair in self.pairs}))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Each that occurs, as safetensors names it, in alphabetical order."""
        return tuple(sorted({pair.down.dtype for pair in self.pairs}))


# Ends of down and up. The order decides: some are ends of others.
_ENDINGS = (
    (".lora_down.weight", ".lora_up.weight"),
    ("_lora.down.weight", "_lora.up.weight"),
    (".lora_A.weight", ".lora_B.weight"),
    (".lora_A.default.weight", ".lora_B.default.weight"),
    (".lora.down.weight", ".lora.up.weight"),
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    (".lora_A", ".lora_B"),
)
_X_FLUX_ENDINGS = ((".down.weight", ".up.weight"),)
X_FLUX_NAME = re.compile(r"(double|single)_blocks\.\d+\.processor\.")
_OTHER_ADAPTER = re.compile(r"\.(hada_|lokr_|oft_|boft_|[ab][12]\.weight$)")

_KEY_FORMATS = (
    (re.compile(r"lora_(unet|te)"), KeyFormat.KOHYA),
    (re.compile(r"lora_transformer_"), KeyFormat.ONETRAINER),
    (re.compile(r"lycoris_"), KeyFormat.LYCORIS),
    (re.compile(r"diffusion_model\."), KeyFormat.AI_TOOLKIT),
    (X_FLUX_NAME, KeyFormat.X_FLUX),
    (re.compile(r"(double|single)_blocks\.\d+\."), KeyFormat.BFL),
    (re.compile(r"transformer\.|unet\.|text_encoder|(down|up|mid)_block"), KeyFormat.DIFFUSERS),
)

_PREFIX = re.compile(
    r"(lora_unet__?|lora_transformer_|lycoris_|diffusion_model\.|transformer\.|unet\.)"
)
# Matched against stems without prefix, dots as underscores.
_FAMILIES = (
    (re.compile(r"(double|single)_blocks_\d+_|single_transformer_blocks_\d+_"), Family.FLUX),
    (re.compile(r"transformer_blocks_\d+_(attn_|ff_|ff_context_|norm1_)"), Family.FLUX),
    (re.compile(r"(layers|\w+_refiner)_\d+_(attention|feed_forward|adaLN)_"), Family.Z_IMAGE),
    (re.compile(r"blocks_\d+_(self_attn|cross_attn|ffn)_"), Family.WAN),
    (re.compile(r"(input|output|down|up)_blocks_\d+_|middle_block_|mid_block_"), Family.SDXL),
)
_SD1_ONLY = re.compile(
    r"(input_blocks_[12]_1|output_blocks_(9|10|11)_1|(down_blocks_0|up_blocks_3)_attentions)_"
)
_TEXT_WIDTHS = {2048: Family.SDXL, 768: Family.SD1}
"""What the cross attention of a UNet reads, by family."""


def describe(header: Header) -> Lora:
    """The LoRA in a file. Raises LoraMismatch where the file holds none, or half of one."""
    pairs, unmatched = _pairs(header)
    for name in unmatched:
        if _OTHER_ADAPTER.search(name):
            raise LoraMismatch(
                f"{quoted(name)} is of a LoHa, LoKr, GLoRA or OFT, not of a LoRA",
                hint="Train or export it as a plain LoRA; the others are not checked here.",
            )
    of_model = [pair for pair in pairs if not pair.of_text_encoder]
    if not of_model:
        raise LoraMismatch(
            "the LoRA changes text encoders only"
            if pairs
            else f"the file holds no LoRA: {len(header.tensors):,} tensors, none in pairs"
        )
    return Lora(
        family=_family(of_model),
        key_format=_key_format(of_model, header.metadata),
        pairs=of_model,
        text_encoder_pairs=[pair for pair in pairs if pair.of_text_encoder],
        unmatched=unmatched,
        metadata=header.metadata,
    )


def _pairs(header: Header) -> tuple[list[Pair], list[str]]:
    """Every pair, and the names left over. Raises LoraMismatch at half a pair."""
    tensors = header.tensors
    left = dict.fromkeys(tensors)
    pairs: list[Pair] = []
    for name in tensors:
        parts = _parts(name)
        if parts is None:
            continue
        stem, down, up = parts
        for half in (down, up):
            if half not in tensors:
                raise LoraMismatch(f"{quoted(name)} has no {quoted(half)} beside it")
        left.pop(name)
        if name == down:
            middle, alpha = f"{stem}.lora_mid.weight", f"{stem}.alpha"
            for more in (middle, alpha, f"{stem}.dora_scale"):
                left.pop(more, None)
            more_of_it = tensors.get(middle), tensors.get(alpha)
            pairs.append(Pair(stem, tensors[down], tensors[up], *more_of_it))
    return pairs, list(left)


def _parts(name: str) -> tuple[str, str, str] | None:
    """Stem, down and up, if this is a name of one of the two."""
    for down, up in _X_FLUX_ENDINGS if X_FLUX_NAME.match(name) else _ENDINGS:
        for ending in (down, up):
            if name.endswith(ending):
                stem = name.removesuffix(ending)
                return stem, stem + down, stem + up
    return None


def _key_format(pairs: Sequence[Pair], metadata: Mapping[str, str]) -> KeyFormat:
    stem = pairs[0].stem
    key_format = next(
        (key_format for sign, key_format in _KEY_FORMATS if sign.match(stem)), KeyFormat.UNKNOWN
    )
    if key_format is KeyFormat.DIFFUSERS and "ai-toolkit" in metadata.get("software", ""):
        return KeyFormat.AI_TOOLKIT
    return key_format


def plain(stem: str) -> str:
    """The stem as no trainer writes it: no prefix, underscores for dots."""
    return _PREFIX.sub("", stem, count=1).replace(".", "_")


def _family(pairs: Iterable[Pair]) -> Family:
    """The family that most stems speak for."""
    votes = Counter(_family_of(plain(pair.stem)) for pair in pairs)
    winner = votes.most_common(1)[0][0]
    return _unet_family(pairs) if winner is Family.SDXL else winner


def _family_of(stem: str) -> Family:
    return next((family for sign, family in _FAMILIES if sign.match(stem)), Family.UNKNOWN)


def _unet_family(pairs: Iterable[Pair]) -> Family:
    """SDXL or SD 1.x: by what their cross attention reads, else by the blocks that have any."""
    stems = {plain(pair.stem): pair.down for pair in pairs}
    for stem, down in stems.items():
        if re.search(r"attn2_(processor_)?to_[kv]$", stem) and len(down.shape) > 1:
            return _TEXT_WIDTHS.get(down.shape[1], Family.UNKNOWN)
    if any(re.search(r"transformer_blocks_[1-9]", stem) for stem in stems):
        return Family.SDXL
    if any(_SD1_ONLY.match(stem) for stem in stems):
        return Family.SD1
    return Family.UNKNOWN


_SCALARS = {"F16": "<e", "F32": "<f", "F64": "<d", "I32": "<i", "I64": "<q"}


def read_alpha(file: Ranges, lora: Lora) -> float | None:
    """Alpha of the first pair that has one; its strength is alpha divided by rank. None where no
    pair has one. `lora` is one that passed `check`: its dtypes are known."""
    alpha = next((pair.alpha for pair in lora.pairs if pair.alpha is not None), None)
    if alpha is None:
        return None
    raw = file.read_range(alpha.offset, alpha.length)
    if alpha.dtype == "BF16":
        return float(struct.unpack("<f", b"\0\0" + raw)[0])
    return float(struct.unpack(_SCALARS[alpha.dtype], raw)[0])

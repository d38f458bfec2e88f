"""What a LoRA file is: its family, its trainer's habit, its adapters, told from its header."""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.errors import LoraMismatch
from handlers.loras.adapters import X_FLUX_NAME, Adapter, read_adapters
from handlers.loras.family import Family, family_of
from handlers.loras.header import Header, Ranges
from handlers.loras.left_out import left_out_hint


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
class Lora:
    family: Family
    key_format: KeyFormat
    adapters: Sequence[Adapter]
    """Of the diffusion model, in the file's order."""
    text_encoder_adapters: Sequence[Adapter]
    """A loader for the model alone leaves them out."""
    unread: Sequence[str]
    """Tensors that ComfyUI leaves out with a line in its log."""
    metadata: Mapping[str, str]

    @property
    def read(self) -> int:
        """Tensors that ComfyUI uses, those of text encoders included."""
        every = (*self.adapters, *self.text_encoder_adapters)
        return sum(len(each.tensors) for each in every)

    @property
    def ranks(self) -> tuple[int, ...]:
        """Each rank that occurs, ascending."""
        return tuple(sorted({each.rank for each in self.adapters if each.rank}))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Each kind of adapter that occurs, `dora` where lengths stand beside it."""
        dora = {"dora"} if any(each.dora_scale for each in self.adapters) else set()
        return tuple(sorted({each.kind.value for each in self.adapters} | dora))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Each type of number that occurs, in safetensors' names, ascending."""
        return tuple(sorted({each.first.dtype for each in self.adapters}))


_KEY_FORMATS = (
    (re.compile(r"lora_(unet|te)"), KeyFormat.KOHYA),
    (re.compile(r"lora_transformer_"), KeyFormat.ONETRAINER),
    (re.compile(r"lycoris_"), KeyFormat.LYCORIS),
    (re.compile(r"diffusion_model\."), KeyFormat.AI_TOOLKIT),
    (X_FLUX_NAME, KeyFormat.X_FLUX),
    (re.compile(r"(double|single)_blocks\.\d+\."), KeyFormat.BFL),
    (re.compile(r"transformer\.|unet\.|text_encoder|(down|up|mid)_block"), KeyFormat.DIFFUSERS),
    # DiffSynth writes the names of diffusers without a prefix.
    (re.compile(r"(single_)?transformer_blocks\.\d|(layers|\w+_refiner)\.\d"), KeyFormat.DIFFUSERS),
)


def describe(header: Header) -> Lora:
    """The LoRA in a file. Raises LoraMismatch where the file holds none, or half of one."""
    adapters, unread = read_adapters(header)
    of_model = [each for each in adapters if not each.of_text_encoder]
    if not of_model:
        if adapters:
            raise LoraMismatch("the LoRA changes text encoders only")
        raise LoraMismatch(
            f"the file holds no LoRA: {len(header.tensors):,} tensors, none of an adapter",
            hint=left_out_hint(unread),
        )
    return Lora(
        family=family_of(of_model, header),
        key_format=_key_format(of_model, header.metadata),
        adapters=of_model,
        text_encoder_adapters=[each for each in adapters if each.of_text_encoder],
        unread=unread,
        metadata=header.metadata,
    )


def _key_format(adapters: Sequence[Adapter], metadata: Mapping[str, str]) -> KeyFormat:
    stem = adapters[0].stem
    key_format = next(
        (key_format for sign, key_format in _KEY_FORMATS if sign.match(stem)), KeyFormat.UNKNOWN
    )
    if key_format is KeyFormat.DIFFUSERS and "ai-toolkit" in metadata.get("software", ""):
        return KeyFormat.AI_TOOLKIT
    return key_format


_SCALARS = {"F16": "<e", "F32": "<f", "F64": "<d", "I32": "<i", "I64": "<q"}


def read_alpha(file: Ranges, lora: Lora) -> float | None:
    """Alpha of the first pair that has one; its strength is alpha divided by rank. None where no
    pair has one. `lora` is one that passed `check`: its dtypes are known."""
    alpha = next((each.alpha for each in lora.adapters if each.alpha is not None), None)
    if alpha is None:
        return None
    raw = file.read_range(alpha.offset, alpha.length)
    if alpha.dtype == "BF16":
        return float(struct.unpack("<f", b"\0\0" + raw)[0])
    return float(struct.unpack(_SCALARS[alpha.dtype], raw)[0])

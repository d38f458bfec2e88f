"""What the kinds that take a LoRA share: its fields, the request for its file, the trigger word."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from config.errors import InvalidSetting
from config.models import ModelTable, WeightFile
from handlers.kinds.base import ONE_IS_REQUIRED, JobInput, JobRequest
from handlers.kinds.requirements import LoraRequest, RequiredInputs
from handlers.kinds.text_to_image import TextToImage, TextToImageInput
from handlers.loras.bases import Base, FluxSizes, ZImageSizes, flux, sdxl, z_image
from handlers.loras.refs import ById, ByName, LoraRef

NOT_FETCHED = "lora.safetensors"
"""Stands for the file in graphs that are only judged."""


class LoraFields(JobInput):
    """Of every kind that takes a LoRA, however it makes its pictures."""

    model_config = ConfigDict(strict=True)

    lora_id: str | None = Field(
        default=None, min_length=1, max_length=128, description="Of a character's LoRA."
    )
    lora_name: str | None = Field(
        default=None, min_length=1, max_length=256, description="File name under loras/."
    )
    lora_version: str | None = Field(
        default=None, min_length=1, max_length=128, description="One training's file."
    )
    lora_strength: float = Field(default=1.0, ge=0, le=1, description="On the diffusion model.")
    trigger_word: str | None = Field(
        default=None,
        max_length=200,
        description="Put before each prompt; null takes the one stored beside the LoRA.",
    )

    @property
    def lora(self) -> LoraRef | None:
        """The LoRA that is asked for; None where none is named."""
        if self.lora_id is not None:
            return ById(self.lora_id, self.lora_version)
        if self.lora_name is not None:
            return ByName(self.lora_name, self.lora_version)
        return None

    @model_validator(mode="after")
    def _one_lora(self) -> Self:
        if self.lora_id is not None and self.lora_name is not None:
            raise ValueError("give lora_id or lora_name, not both")
        if self.lora is None and (
            self.lora_version is not None or self.trigger_word or self.lora_strength != 1.0
        ):
            raise none_named()
        return self


def none_named() -> PydanticCustomError:
    """The error of a model validator for a request that names no LoRA and needs one."""
    return PydanticCustomError(ONE_IS_REQUIRED, "lora_id or lora_name is required")


class TextToImageLoraInput(LoraFields, TextToImageInput):
    """One prompt, one LoRA."""


L = TypeVar("L", bound=TextToImageLoraInput)


class TakesLora(TextToImage[L], Generic[L]):
    """Before the kind's other bases: what it says of LoRAs holds."""

    def required_inputs(self, request: L, models: ModelTable) -> RequiredInputs:
        if request.lora is None:
            return RequiredInputs()
        return RequiredInputs(
            LoraRequest(request.lora, lora_base(self.weights(request, models)["unet"]))
        )

    def lora(self, job: JobRequest[L]) -> tuple[str, float] | None:
        """The LoRA's file and strength, from 0 to 1; NOT_FETCHED stands for the file while the job
        is judged."""
        if job.input.lora is None:
            return None
        fetched = job.supplies.lora
        return (fetched.file if fetched else NOT_FETCHED, job.input.lora_strength)

    def prompt(self, job: JobRequest[L]) -> str:
        request, fetched = job.input, job.supplies.lora
        word = request.trigger_word
        if word is None:
            word = fetched.trigger_word if fetched else ""
        return with_trigger(request.prompt, word)


_BASES: Mapping[str, Callable[..., Base]] = MappingProxyType(
    {
        "flux": lambda **sizes: flux(FluxSizes(**sizes)),
        "z-image": lambda **sizes: z_image(ZImageSizes(**sizes)),
        "sdxl": sdxl,
    }
)


def lora_base(unet: WeightFile) -> Base:
    """What a LoRA for this model must fit; models.toml gives the sizes of unusual ones.

    Raises InvalidSetting for sizes that its family has not.
    """
    sizes: dict[str, Any] = dict(unet.sizes or {})
    try:
        return _BASES[unet.family](**sizes)
    except (KeyError, TypeError) as error:
        raise InvalidSetting(
            f"models.toml: weights.{unet.name}: no LoRA fits family {unet.family}"
            f" with sizes {sizes}: {error}",
            field=f"weights.{unet.name}.sizes",
            hint="Name only the sizes that differ, such as hidden of Flux or dim of Z-Image.",
        ) from None


def with_trigger(prompt: str, word: str) -> str:
    """The prompt with the trigger word in front, unless it is in there already."""
    word = word.strip()
    if not word or re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt, re.IGNORECASE):
        return prompt
    return f"{word} {prompt}"

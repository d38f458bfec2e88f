"""The kind `flux-lora`: Flux dev with a character's or a style's LoRA."""

from typing import Self

from pydantic import model_validator

from handlers.flux import FluxDevInput, FluxDevKind
from handlers.lora_fields import LoraFields, TakesLora


class FluxLoraInput(FluxDevInput, LoraFields):
    @model_validator(mode="after")
    def _names_a_lora(self) -> Self:
        if self.lora is None:
            raise ValueError("lora_id or lora_name is required")
        return self


class FluxLora(TakesLora[FluxLoraInput], FluxDevKind[FluxLoraInput]):
    name = "flux-lora"
    input_model = FluxLoraInput

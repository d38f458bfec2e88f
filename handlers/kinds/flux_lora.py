"""The kind `flux-lora`: Flux dev with a character's or a style's LoRA."""

from typing import Self

from pydantic import model_validator

from handlers.kinds.flux import FluxDevInput, FluxDevKind
from handlers.kinds.lora_fields import TakesLora, TextToImageLoraInput, none_named


class FluxLoraInput(FluxDevInput, TextToImageLoraInput):
    @model_validator(mode="after")
    def _names_a_lora(self) -> Self:
        if self.lora is None:
            raise none_named()
        return self


class FluxLora(TakesLora[FluxLoraInput], FluxDevKind[FluxLoraInput]):
    name = "flux-lora"
    input_model = FluxLoraInput

"""The kind `z-image-turbo`: text to image in eight steps, with a LoRA if one is named."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from handlers.kinds.base import JobRequest
from handlers.kinds.lora_fields import TakesLora, TextToImageLoraInput
from workflows import zimage
from workflows.graph import Graph


class ZImageTurboInput(TextToImageLoraInput):
    steps: int = Field(default=8, ge=1, le=50, description="Sampler steps.")
    cfg: float = Field(
        default=1.0, ge=0, le=10, description="Taken for older clients; the model needs 1."
    )


class ZImageTurbo(TakesLora[ZImageTurboInput]):
    name = "z-image-turbo"
    route = "ZImage"
    input_model = ZImageTurboInput
    weight_set = "z-image-turbo"

    def graph(
        self, job: JobRequest[ZImageTurboInput], files: Mapping[str, str], seed: int, prefix: str
    ) -> Graph:
        request = job.input
        return zimage.text_to_image(
            files,
            prompt=self.prompt(job),
            width=request.width,
            height=request.height,
            steps=request.steps,
            seed=seed,
            filename_prefix=prefix,
            lora=self.lora(job),
        )

    def warnings(self, request: ZImageTurboInput) -> Sequence[str]:
        said = list(super().warnings(request))
        if request.cfg != 1.0:
            said.append(f"cfg {request.cfg:g} was ignored: Z-Image-Turbo samples at cfg 1")
        return said

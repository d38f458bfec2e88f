"""The kinds `flux-dev` and `flux-schnell`: text to image on Flux."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from pydantic import Field

from config.models import ModelTable, WeightFile
from handlers.kinds.base import JobRequest
from handlers.kinds.checkpoint import checkpoint
from handlers.kinds.text_to_image import TextToImage, TextToImageInput
from workflows import flux
from workflows.graph import Graph

DEFAULT_GUIDANCE = 3.5


class FluxDevInput(TextToImageInput):
    step_cache: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Sooner, but another picture; 0 is off (docs/money.md).",
    )
    guidance: float | None = Field(
        default=None, ge=0, le=10, description=f"Distilled guidance; null means {DEFAULT_GUIDANCE}."
    )
    cfg: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Taken for older clients: any value but 1.0 is read as guidance.",
    )

    @property
    def effective_guidance(self) -> float:
        """`guidance`, else `cfg` where it is not 1.0, else the default."""
        if self.guidance is not None:
            return self.guidance
        return self.cfg if self.cfg != 1.0 else DEFAULT_GUIDANCE


class FluxSchnellInput(TextToImageInput):
    steps: int = Field(default=4, ge=1, le=50, description="Sampler steps.")
    cfg: float = Field(
        default=1.0, ge=0, le=10, description="Taken for older clients; schnell has no guidance."
    )


F = TypeVar("F", bound=TextToImageInput)
D = TypeVar("D", bound=FluxDevInput)


class FluxKind(TextToImage[F], Generic[F]):
    route = "Flux"

    @abstractmethod
    def guidance(self, request: F) -> float | None:
        """What FluxGuidance is set to, or None to leave it out."""

    def lora(self, job: JobRequest[F]) -> tuple[str, float] | None:  # noqa: ARG002 - for kinds to use
        """A LoRA's file for ComfyUI's loader, and its strength from 0 to 1; None for none."""
        return None

    def step_cache(self, request: F) -> float:  # noqa: ARG002 - for kinds to use
        """The relative change below which a step is not computed whole; 0 for none."""
        return 0.0

    def graph(self, job: JobRequest[F], files: Mapping[str, str], seed: int, prefix: str) -> Graph:
        request = job.input
        return flux.text_to_image(
            files,
            prompt=self.prompt(job),
            width=request.width,
            height=request.height,
            steps=request.steps,
            guidance=self.guidance(request),
            seed=seed,
            filename_prefix=prefix,
            lora=self.lora(job),
            step_cache=self.step_cache(request),
        )


class FluxDevKind(FluxKind[D], Generic[D]):
    """On Flux dev, which takes a guidance."""

    weight_set = "flux-dev"

    def unavailable(self, request: D) -> None:  # noqa: ARG002 - nsfw is a checkpoint of its own
        return None

    def weights(self, request: D, models: ModelTable) -> Mapping[str, WeightFile]:
        return checkpoint(models, nsfw=request.nsfw)

    def guidance(self, request: D) -> float:
        return request.effective_guidance

    def step_cache(self, request: D) -> float:
        return request.step_cache

    def warnings(self, request: D) -> Sequence[str]:
        said = list(super().warnings(request))
        if request.cfg != 1.0:
            read = "ignored beside guidance" if request.guidance is not None else "read as guidance"
            said.append(f"cfg {request.cfg:g} was {read}: Flux samples at cfg 1")
        return said


class FluxDev(FluxDevKind[FluxDevInput]):
    name = "flux-dev"
    input_model = FluxDevInput


class FluxSchnell(FluxKind[FluxSchnellInput]):
    name = "flux-schnell"
    input_model = FluxSchnellInput
    weight_set = "flux-schnell"

    def guidance(self, request: FluxSchnellInput) -> None:  # noqa: ARG002 - schnell has none
        return None

    def warnings(self, request: FluxSchnellInput) -> Sequence[str]:
        said = list(super().warnings(request))
        if request.cfg != 1.0:
            said.append(f"cfg {request.cfg:g} was ignored: Flux schnell has no guidance")
        return said

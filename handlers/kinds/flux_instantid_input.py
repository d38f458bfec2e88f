"""What `flux-instantid` is asked for with: a composition, and a face made anew in it."""

from typing import Literal

from pydantic import Field

from handlers.kinds.flux import DEFAULT_GUIDANCE
from handlers.kinds.instantid_input import InstantIdInput


class FluxInstantIdInput(InstantIdInput):
    base: Literal["flux-dev", "z-image-turbo"] = Field(
        default="flux-dev", description="The model that composes the picture."
    )
    steps: int = Field(
        default=20,
        ge=1,
        le=50,
        description="Sampler steps of the composition; 8 on z-image-turbo unless given.",
    )
    guidance: float | None = Field(
        default=None, ge=0, le=10, description=f"Of flux-dev; null means {DEFAULT_GUIDANCE}."
    )
    cfg: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Taken for older clients: any value but 1.0 is read as guidance.",
    )
    denoise: float = Field(
        default=0.6, gt=0, le=1, description="How much of the face is made anew; 0.5 to 0.7."
    )
    face_steps: int = Field(default=20, ge=1, le=50, description="Sampler steps of the face.")
    face_cfg: float = Field(default=4.5, ge=1, le=15, description="SDXL's guidance on the face.")
    scheduler: str = Field(default="karras", max_length=64, description="Of ComfyUI's KSampler.")
    face_index: int | None = Field(
        default=None,
        ge=0,
        le=63,
        description="Which face of the composition, 0 the largest; null takes that one too.",
    )
    face_padding: float = Field(
        default=2.0, ge=1.2, le=4, description="The square made anew, in lengths of the face."
    )
    allow_no_face: bool = Field(
        default=False,
        description="Deliver a composition without a face as it is; else another is made.",
    )
    keep_composition: bool = Field(
        default=False, description="Store the picture before its face pass too."
    )

    @property
    def composition_steps(self) -> int:
        given = "steps" in self.model_fields_set
        return 8 if self.base == "z-image-turbo" and not given else self.steps

"""What the InstantID kinds are asked for with: who, how strictly, and turned how."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from handlers.faces.match import Gate
from handlers.faces.references import MOST
from handlers.faces.view import AskedView, Framing
from handlers.kinds.base import is_input_key
from handlers.kinds.text_to_image import TextToImageInput
from handlers.kinds.view_fields import FramingName, NamedHead
from workflows.instantid import Identity


class InstantIdInput(TextToImageInput):
    reference_images: tuple[Annotated[str, Field(min_length=1, max_length=512)], ...] = Field(
        default=(),
        max_length=MOST,
        description="Keys of one to five pictures of the person, for reference_image.",
        json_schema_extra={"picture": True},
    )
    reference_image: str | None = Field(
        default=None,
        validate_default=True,
        min_length=1,
        max_length=512,
        description="Key of a picture of the person, under inputs/; its largest face is taken.",
        json_schema_extra={"picture": True},
    )
    negative_prompt: str = Field(
        default="", max_length=4000, description="What SDXL is to keep away from."
    )
    instantid_strength: float = Field(
        default=0.8, ge=0, le=3, description="How much the face is the reference's."
    )
    controlnet_strength: float = Field(
        default=0.8, ge=0, le=3, description="How strictly eyes, nose and mouth keep their places."
    )
    start_at: float = Field(
        default=0.0, ge=0, le=1, description="Share of the sampling at which InstantID sets in."
    )
    end_at: float = Field(
        default=1.0,
        ge=0,
        le=1,
        validate_default=True,
        description="Share of the sampling at which it ends.",
    )
    sampler_name: str = Field(default="euler", max_length=64, description="Of ComfyUI's KSampler.")
    scheduler: str = Field(default="normal", max_length=64, description="Of ComfyUI's KSampler.")
    sdxl_checkpoint: str | None = Field(
        default=None,
        max_length=256,
        description="An SDXL checkpoint of models.toml, by file or name; null takes the set's own.",
    )
    face_provider: Literal["CPU", "GPU"] = Field(
        default="CPU", description="Taken for older clients: GPU means CUDA."
    )
    min_face_match: float | None = Field(
        default=None, ge=0, le=1, description="Below it, another seed is tried."
    )
    min_face_similarity: float | None = Field(
        default=None, ge=-1, le=1, description="Below it, another seed is tried."
    )
    max_tries: int = Field(
        default=3,
        ge=1,
        le=8,
        description="Seeds tried for a picture that is not as asked; the best is kept.",
    )

    head: NamedHead | None = Field(
        default=None,
        description="How the head is turned, or a name; null leaves it as referenced or composed.",
    )
    framing: FramingName | None = Field(
        default=None,
        validate_default=True,
        description="How much of the person is seen, with `head` alone; null means close-up.",
    )

    @field_validator("framing")
    @classmethod
    def _of_a_head(cls, framing: Framing | None, info: ValidationInfo) -> Framing | None:
        if framing is not None and info.data.get("head") is None:
            raise ValueError("framing needs head: 'front' looks into the camera")
        return framing

    @field_validator("reference_image", "reference_images")
    @classmethod
    def _in_the_bucket(cls, given: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for key in (given,) if isinstance(given, str) else given or ():
            if not is_input_key(key):
                raise ValueError(
                    "must be a key under inputs/; `ryla submit` makes one of @file, HTTP of a data"
                    " URL"
                )
        return given

    @field_validator("reference_images")
    @classmethod
    def _told_apart(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if len({*keys}) < len(keys):
            raise ValueError("a picture is named twice: name each once")
        return keys

    @field_validator("reference_image")
    @classmethod
    def _somebody_is_shown(cls, key: str | None, info: ValidationInfo) -> str | None:
        if "reference_images" not in info.data:
            return key  # what is wrong with them is told
        if key is not None and info.data["reference_images"]:
            raise ValueError("give reference_image or reference_images, not both")
        if key is None and not info.data["reference_images"]:
            raise PydanticCustomError("missing", "reference_image or reference_images is required")
        return key

    @property
    def keys(self) -> Mapping[str, str]:
        """Field → key of each reference picture."""
        if self.reference_image is not None:
            return {"reference_image": self.reference_image}
        return {f"reference_images.{at}": key for at, key in enumerate(self.reference_images)}

    @field_validator("end_at")
    @classmethod
    def _ends_after_its_start(cls, end_at: float, info: ValidationInfo) -> float:
        if end_at <= info.data.get("start_at", 0.0):
            raise ValueError("end_at must be greater than start_at")
        return end_at

    @property
    def gate(self) -> Gate:
        return Gate(self.min_face_match, self.min_face_similarity)

    @property
    def asked_view(self) -> AskedView | None:
        """Without a framing, any is taken."""
        return None if self.head is None else AskedView(self.head.head, self.framing)

    @property
    def most_tries(self) -> int:
        """Of a picture; 1 where nothing is asked that a try could miss."""
        judged = self.asked_view is not None or self.gate != Gate()
        return self.max_tries if judged else 1

    def identity(self, uploaded: Sequence[str]) -> Identity:
        """By the names of the uploaded references."""
        return Identity(
            reference=uploaded[0],
            further=tuple(uploaded[1:]),
            strength=self.instantid_strength,
            controlnet_strength=self.controlnet_strength,
            start_at=self.start_at,
            end_at=self.end_at,
            provider="CUDA" if self.face_provider == "GPU" else "CPU",
        )

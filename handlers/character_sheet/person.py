"""Who a character sheet is of, and the model that draws them."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from handlers.kinds.base import JobInput, is_input_key

BaseName = Literal["sdxl", "flux-dev", "z-image-turbo"]
MAX_REFERENCES = 5
ImageKey = Annotated[str, Field(min_length=1, max_length=512)]


class Person(JobInput):
    """A name, words, and pictures of the face. A LoRA may say it too, beside them or alone."""

    name: str = Field(
        min_length=1,
        max_length=80,
        pattern=r"\S",
        description="The character's; a title, no part of any prompt.",
    )
    description: str = Field(
        default="",
        max_length=1000,
        description="Who is seen, as in a prompt: `a woman of 30 with short red hair`.",
    )
    reference_images: tuple[ImageKey, ...] = Field(
        default=(),
        max_length=MAX_REFERENCES,
        description="Keys of one to five pictures of the person, under inputs/.",
        json_schema_extra={"picture": True},
    )
    base: BaseName = Field(default="sdxl", description="The model that composes the views.")

    @field_validator("reference_images")
    @classmethod
    def _in_the_bucket(cls, keys: Sequence[str]) -> Sequence[str]:
        for key in keys:
            if not is_input_key(key):
                raise ValueError(
                    f"{key[:80]!r} must be a key under inputs/; `ryla submit` makes one of @file,"
                    " HTTP of a data URL"
                )
        if len({*keys}) < len(keys):
            raise ValueError("a picture is named twice: name each once")
        return keys

"""What a character sheet is asked for with."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from handlers.character_sheet.person import BaseName, Person
from handlers.character_sheet.reuse import Reuse
from handlers.character_sheet.views import MAX_VIEWS, PRESETS, Preset, View, ViewId
from handlers.faces.view import Framing
from handlers.kinds.base import ONE_IS_REQUIRED, TAG, JobInput, OutputFormat
from handlers.kinds.lora_fields import LoraFields
from handlers.kinds.seeds import MAX_SEED
from handlers.kinds.text_to_image import MAX_PIXELS

STEPS: Mapping[BaseName, int] = {"sdxl": 25, "flux-dev": 20, "z-image-turbo": 8}
"""Of the base model unless given; 25 is what existing clients ask SDXL for."""
SHARE_OF_VIEWS = 0.7
"""That must be made for a sheet to count as one, unless `min_views` says otherwise: seven of the
ten default views, as existing clients have it."""

PresetName = Literal["ten", "lora-24"]
Views = Annotated[
    Annotated[PresetName, Tag(f"{TAG}preset")]
    | Annotated[tuple[View, ...], Field(max_length=MAX_VIEWS), Tag(f"{TAG}list")],
    Discriminator(lambda given: f"{TAG}{'preset' if isinstance(given, str) else 'list'}"),
]


class Size(JobInput):
    """Pixels. Trainers sort pictures into sizes in steps of 64."""

    model_config = ConfigDict(strict=True)

    width: int = Field(ge=512, le=1536, multiple_of=64)
    height: int = Field(ge=512, le=1536, multiple_of=64)

    @model_validator(mode="after")
    def _area(self) -> Self:
        if self.width * self.height > MAX_PIXELS:
            raise ValueError(
                f"{self.width} x {self.height} are {self.width * self.height} pixels,"
                f" more than {MAX_PIXELS}"
            )
        return self


class Sizes(JobInput):
    """Of the pictures, by framing."""

    model_config = ConfigDict(strict=True)

    close_up: Size = Field(default_factory=lambda: Size(width=1024, height=1024))
    half: Size = Field(default_factory=lambda: Size(width=896, height=1152))
    full: Size = Field(default_factory=lambda: Size(width=832, height=1216))

    def of(self, framing: Framing) -> Size:
        by_framing = {
            Framing.CLOSE_UP: self.close_up,
            Framing.HALF: self.half,
            Framing.FULL: self.full,
        }
        return by_framing[framing]


class CharacterSheetInput(LoraFields, Person):
    """A person by pictures, by a LoRA or by both, and the views that are wanted of them."""

    model_config = ConfigDict(strict=True)

    views: Views = Field(default="ten", description="A preset, or a list of views.")
    view_ids: tuple[ViewId, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_VIEWS,
        validate_default=True,
        description="Which of these views to make, in this order; null makes all.",
    )
    reuse: Reuse | None = Field(
        default=None,
        validate_default=True,
        description="Views that an ended sheet has, and that are not made again.",
    )
    style: str = Field(default="", max_length=500, description="Words that every prompt ends with.")
    outfit: str = Field(default="", max_length=300, description="Clothes in views that name none.")
    background: str = Field(
        default="", max_length=300, description="Behind views that name none; empty is plain grey."
    )
    negative_prompt: str = Field(
        default="", max_length=1000, description="What SDXL is to keep away from."
    )
    seed: int | None = Field(
        default=None, ge=0, le=MAX_SEED, description="0 is a seed; null derives one from the id."
    )
    seeds: Literal["one", "per-view"] = Field(
        default="one",
        description="One seed for all views keeps hair and clothes; one a view varies them.",
    )
    min_face_match: float | None = Field(
        default=None, ge=0, le=1, description="Below it, a view is made again."
    )
    attempts_per_view: int = Field(
        default=3, ge=1, le=8, description="Times that a view is made at most; the best is kept."
    )
    min_views: int | None = Field(
        default=None,
        ge=1,
        le=MAX_VIEWS,
        validate_default=True,
        description="Fewer make the sheet fail; null means 7 of 10, rounded up.",
    )
    sizes: Sizes = Field(
        default_factory=Sizes,
        description="Of the framings: 1024x1024, 896x1152 and 832x1216 unless given.",
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        le=50,
        description="Sampler steps of the base: 25 on sdxl, 20 on flux-dev, 8 on z-image-turbo.",
    )
    cfg: float = Field(default=7.0, ge=1, le=15, description="SDXL's guidance, where it composes.")
    guidance: float | None = Field(
        default=None, ge=0, le=10, description="Of flux-dev; null means 3.5."
    )
    instantid_strength: float = Field(
        default=0.8, ge=0, le=3, description="How much the face is the references'."
    )
    controlnet_strength: float = Field(
        default=0.65, ge=0, le=3, description="How strictly the face is turned as drawn."
    )
    denoise: float = Field(
        default=0.6, gt=0, le=1, description="How much of a composed face is made anew."
    )
    face_steps: int = Field(
        default=20, ge=1, le=50, description="Sampler steps of a face in a composition."
    )
    face_cfg: float = Field(
        default=4.5, ge=1, le=15, description="SDXL's guidance on a face in a composition."
    )
    sdxl_checkpoint: str | None = Field(
        default=None,
        max_length=256,
        description="An SDXL checkpoint of models.toml, by file or name; null takes the set's own.",
    )
    nsfw: bool = Field(default=False, description="Use the uncensored checkpoint of flux-dev.")
    output_format: OutputFormat = "png"

    @property
    def chosen_views(self) -> tuple[View, ...]:
        """Those to be made, in order: a view's number is its place here, from 1."""
        known = _known(self.views)
        if self.view_ids is None:
            return known
        by_id = {view.id: view for view in known}
        return tuple(by_id[id] for id in self.view_ids)

    @property
    def new_views(self) -> tuple[View, ...]:
        """Those of them that are made, and not reused."""
        reused = () if self.reuse is None else self.reuse.views
        return tuple(view for view in self.chosen_views if view.id not in reused)

    @property
    def least_views(self) -> int:
        """`min_views`, or the share of the chosen views that stands for it."""
        if self.min_views is not None:
            return self.min_views
        return math.ceil(SHARE_OF_VIEWS * len(self.chosen_views))

    @property
    def base_steps(self) -> int:
        return STEPS[self.base] if self.steps is None else self.steps

    @field_validator("views")
    @classmethod
    def _told_apart(cls, views: str | tuple[View, ...]) -> str | tuple[View, ...]:
        ids = [view.id for view in _known(views)]
        if not ids:
            raise ValueError("a sheet needs a view: list one, or name a preset")
        twice = next((id for id in ids if ids.count(id) > 1), None)
        if twice is not None:
            raise ValueError(f"two views have the id {twice!r}: give each its own")
        return views

    @field_validator("view_ids")
    @classmethod
    def _among_the_views(
        cls, wanted: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if wanted is None or "views" not in info.data:
            return wanted
        known = [view.id for view in _known(info.data["views"])]
        if len({*wanted}) < len(wanted):
            raise ValueError("a view is named twice: name each once")
        for id in wanted:
            if id not in known:
                raise ValueError(f"no view is named {id!r}; there are {', '.join(known)}")
        return wanted

    @field_validator("reuse")
    @classmethod
    def _leaves_some_to_make(cls, reused: Reuse | None, info: ValidationInfo) -> Reuse | None:
        if reused is None or not {"views", "view_ids"} <= info.data.keys():
            return reused
        asked = info.data["view_ids"] or [view.id for view in _known(info.data["views"])]
        for id in reused.views:
            if id not in asked:
                raise ValueError(f"{id!r} is none of the views that are asked for")
        if len(reused.views) == len(asked):
            raise ValueError("all views are reused: leave one to be made")
        return reused

    @field_validator("min_views")
    @classmethod
    def _not_more_than_are_made(cls, least: int | None, info: ValidationInfo) -> int | None:
        if least is None or not {"views", "view_ids"} <= info.data.keys():
            return least
        made = len(info.data["view_ids"] or _known(info.data["views"]))
        if least > made:
            raise ValueError(f"{least} is more than the {made} views that are asked for")
        return least

    @model_validator(mode="after")
    def _somebody_is_named(self) -> Self:
        if self.lora is None and not self.reference_images:
            raise PydanticCustomError(
                ONE_IS_REQUIRED, "reference_images, lora_id or lora_name is required"
            )
        return self


def _known(views: str | tuple[View, ...]) -> tuple[View, ...]:
    return PRESETS[Preset(views)] if isinstance(views, str) else views

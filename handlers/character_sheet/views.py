"""The views of a character sheet: own ones, and the presets `ten` and `lora-24`. Pure data.

Left is the picture's left: a head of yaw < 0 looks to the left edge of its picture.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from handlers.faces.head import Head
from handlers.faces.view import Framing
from handlers.kinds.base import JobInput
from handlers.kinds.view_fields import HEADS, FramingName, HeadInput, NamedHead

VIEW_ID = r"^[a-z0-9]+(-[a-z0-9]+)*$"
"""File names are made of it. Without "_", at which trainers cut names."""
MAX_VIEWS = 40
ViewId = Annotated[str, Field(pattern=VIEW_ID, max_length=48)]
Words = Annotated[str, Field(max_length=300)]

FRONT = HEADS["front"]


class View(JobInput):
    """One picture of a sheet, as it is asked for."""

    model_config = ConfigDict(strict=True)

    id: str = Field(
        max_length=48,
        pattern=VIEW_ID,
        description="Its name in the sheet: small letters, digits and hyphens.",
    )
    head: NamedHead = Field(
        default_factory=HeadInput,
        description="Where the head is turned, or a name; to the front unless given.",
    )
    back: bool = Field(default=False, description="Seen from behind; no face is to be seen.")
    framing: FramingName = Field(
        default=Framing.HALF, description="How much of the person is to be seen."
    )
    pose: Words = Field(default="standing", description="Such as standing, sitting, dynamic.")
    expression: Words = Field(default="", description="Such as neutral, smiling, confident.")
    outfit: Words = Field(default="", description="Clothes; empty takes the sheet's.")
    light: Words = Field(default="studio", description="Such as studio, natural, dramatic.")
    background: Words = Field(default="", description="Empty takes the sheet's.")

    @model_validator(mode="after")
    def _a_back_has_no_face(self) -> Self:
        if self.back and self.head != FRONT:
            raise ValueError("a back view shows no face: leave out its head")
        if self.back and self.expression:
            raise ValueError("a back view shows no face: leave out its expression")
        return self

    @property
    def asked_head(self) -> Head | None:
        """None for a back view."""
        return None if self.back else self.head.head


class Preset(StrEnum):
    TEN = "ten"
    """The views that existing clients ask for."""
    LORA_24 = "lora-24"
    """24 views that teach a LoRA a person: a third each of close-up, half and full."""


_LEFT, _RIGHT = HEADS["three-quarter-left"], HEADS["three-quarter-right"]
_SIDE_LEFT, _SIDE_RIGHT = HEADS["side-left"], HEADS["side-right"]


def _ten() -> Iterator[View]:
    close_up, half, full = Framing.CLOSE_UP, Framing.HALF, Framing.FULL
    yield View(id="front", framing=close_up, expression="neutral")
    yield View(id="front-smiling", framing=close_up, expression="smiling", light="natural")
    yield View(id="three-quarter-left", head=_LEFT, framing=half, expression="neutral")
    yield View(
        id="three-quarter-right",
        head=_RIGHT,
        framing=close_up,
        expression="confident",
        light="natural",
    )
    yield View(id="side-left", head=_SIDE_LEFT, framing=half, expression="neutral")
    yield View(
        id="side-right", head=_SIDE_RIGHT, framing=half, expression="neutral", light="natural"
    )
    yield View(id="back", back=True, framing=full)
    yield View(
        id="front-sitting", framing=full, pose="sitting", expression="relaxed", light="natural"
    )
    yield View(
        id="three-quarter-left-sitting",
        head=_LEFT,
        framing=half,
        pose="sitting",
        expression="neutral",
    )
    yield View(
        id="front-dynamic", framing=full, pose="dynamic", expression="energetic", light="dramatic"
    )


_ANGLES: Mapping[str, HeadInput] = MappingProxyType({**HEADS, "left": _LEFT, "right": _RIGHT})
# Whatever is the same in all pictures of a training set is taken for part of the person, so
# clothes, light and place change, and no pair of views differs in its words alone.
_LORA_24: Mapping[Framing, tuple[tuple[str, str, str, str, str, str, str], ...]] = MappingProxyType(
    {
        Framing.CLOSE_UP: (
            ("front", "front", "neutral", "", "a grey sweater", "studio", "plain"),
            ("front-smiling", "front", "smiling", "", "a white shirt", "natural", "garden"),
            ("front-laughing", "front", "laughing", "", "a denim jacket", "golden-hour", "street"),
            ("left", "left", "neutral", "", "a black turtleneck", "studio", "plain"),
            ("left-smiling", "left", "smiling", "", "a striped shirt", "window", "room"),
            ("right", "right", "serious", "", "a green jumper", "overcast", "park"),
            ("right-relaxed", "right", "relaxed", "", "a linen shirt", "natural", "cafe"),
            ("up", "up", "thoughtful", "", "a red scarf and a coat", "overcast", "street"),
        ),
        Framing.HALF: (
            ("front", "front", "confident", "arms-crossed", "a navy blazer", "studio", "plain"),
            ("front-sitting", "front", "relaxed", "sitting", "a cardigan", "window", "room"),
            ("left", "left", "smiling", "standing", "a white t-shirt", "natural", "park"),
            ("left-leaning", "left", "thoughtful", "leaning", "a wool coat", "evening", "street"),
            ("right", "right", "neutral", "standing", "a blue shirt", "overcast", "street"),
            ("right-sitting", "right", "laughing", "sitting", "a tank top", "golden-hour", "cafe"),
            ("side-left", "side-left", "neutral", "standing", "a grey hoodie", "studio", "plain"),
            ("side-right", "side-right", "serious", "standing", "a rain coat", "overcast", "park"),
        ),
        Framing.FULL: (
            ("front", "front", "neutral", "standing", "jeans and a t-shirt", "studio", "plain"),
            ("front-walking", "front", "smiling", "walking", "a long coat", "overcast", "street"),
            ("left-sitting", "left", "relaxed", "sitting", "a dark suit", "window", "room"),
            ("right-walking", "right", "confident", "walking", "shorts and a polo shirt", "natural",
             "park"),
            ("down-reading", "down", "thoughtful", "reading", "a jumper and trousers", "window",
             "room"),
            ("dynamic", "front", "energetic", "dynamic", "sports clothes", "dramatic", "plain"),
        ),
    }
)  # fmt: skip
"""Framing → name, angle, expression, pose, outfit, light, background."""


def _lora_24() -> Iterator[View]:
    for framing, rows in _LORA_24.items():
        for name, angle, expression, pose, outfit, light, background in rows:
            yield View(
                id=f"{framing}-{name}",
                head=_ANGLES[angle],
                framing=framing,
                expression=expression,
                pose=pose,
                outfit=outfit,
                light=light,
                background=background,
            )
    yield View(
        id="back-half",
        back=True,
        framing=Framing.HALF,
        outfit="a grey sweater",
        background="plain",
    )
    yield View(
        id="back-full",
        back=True,
        framing=Framing.FULL,
        pose="walking",
        outfit="a long coat",
        light="overcast",
        background="street",
    )


PRESETS: Mapping[Preset, tuple[View, ...]] = MappingProxyType(
    {Preset.TEN: tuple(_ten()), Preset.LORA_24: tuple(_lora_24())}
)

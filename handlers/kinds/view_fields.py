"""Fields of input models that ask for a view."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from handlers.faces.head import Head
from handlers.faces.view import Framing
from handlers.kinds.base import JobInput

FramingName = Annotated[
    Framing,
    Field(strict=False),
    WithJsonSchema({"type": "string", "enum": [each.value for each in Framing]}),
]


class HeadInput(JobInput):
    """Where a head is turned, in degrees; all 0 looks into the camera."""

    model_config = ConfigDict(strict=True)

    yaw: float = Field(
        default=0.0, ge=-90, le=90, description="Above 0, the face turns to the picture's right."
    )
    pitch: float = Field(default=0.0, ge=-45, le=45, description="Above 0, it looks up.")
    roll: float = Field(default=0.0, ge=-45, le=45, description="Above 0, it leans clockwise.")

    @property
    def head(self) -> Head:
        return Head(self.yaw, self.pitch, self.roll)


HeadName = Literal[
    "front", "three-quarter-left", "three-quarter-right", "side-left", "side-right", "up", "down"
]
HEADS: Mapping[str, HeadInput] = MappingProxyType(
    {
        "front": HeadInput(),
        "three-quarter-left": HeadInput(yaw=-35.0),
        "three-quarter-right": HeadInput(yaw=35.0),
        "side-left": HeadInput(yaw=-85.0),
        "side-right": HeadInput(yaw=85.0),
        "up": HeadInput(pitch=20.0),
        "down": HeadInput(pitch=-15.0),
    }
)
"""What the names of a head stand for, as in the presets of views: left is the picture's left."""


def _by_name(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    if given not in HEADS:
        raise ValueError(
            f"no head is named {given[:48]!r}; there are {', '.join(HEADS)}, or give an object with"
            " yaw, pitch and roll"
        )
    return HEADS[given]


NamedHead = Annotated[
    HeadInput, BeforeValidator(_by_name, json_schema_input_type=HeadName | HeadInput)
]
"""By angles or by a name."""

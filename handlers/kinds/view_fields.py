"""Fields of input models that ask for a view."""

from typing import Annotated

from pydantic import ConfigDict, Field, WithJsonSchema

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

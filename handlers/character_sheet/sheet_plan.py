"""What a sheet will make, to the last seed: fixed by its first execution, read by every later one.

All that steers the making stands here, so a deploy in the middle of a sheet changes nothing.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from handlers.character_sheet.combinations import Making, ScoredAgainst
from handlers.character_sheet.person import BaseName
from handlers.faces.head import Head
from handlers.faces.view import IDENTITY_TO, LEAST_FACE, AskedView, Framing
from handlers.json_document import JsonDocument
from handlers.kinds.base import OutputFormat

VERSION = 1
FACE_PADDING = 2.0
"""The square that a face pass makes anew, in lengths of the face."""


class _Part(BaseModel):
    """Fields of a later version are passed over: a plan outlives the code that wrote it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class PlannedHead(_Part):
    """Degrees, as of `handlers.faces.head.Head`."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


class PlannedWeight(_Part):
    file: str
    """As ComfyUI names it."""
    sha256: str | None = None
    """Null where models.toml has none."""


class PlannedLora(_Part):
    key: str
    sha256: str
    strength: float


class PlannedSampling(_Part):
    """Of one pass. What is null is not the caller's to steer: the graph has it."""

    steps: int
    cfg: float | None = None
    guidance: float | None = None
    sampler_name: str | None = None
    scheduler: str | None = None
    denoise: float = 1.0


class PlannedIdentity(_Part):
    """InstantID's strengths."""

    strength: float
    controlnet_strength: float


class Thresholds(_Part):
    """What a view must reach to be kept at once."""

    min_face_match: Annotated[float, Field(ge=0, le=1)] | None = None
    """Null keeps any face."""
    identity_to: float = IDENTITY_TO
    """Degrees of yaw to either side, beyond which a face's likeness is not judged."""
    least_face: int = LEAST_FACE
    """Pixels of a face's shorter side, below which it is not judged."""


class PlannedView(_Part):
    nn: Annotated[int, Field(ge=1)]
    """Its place in the sheet, from 1."""
    id: str
    head: PlannedHead | None
    """Null for a back view."""
    framing: Framing
    prompt: str
    negative_prompt: str
    """For SDXL, whichever pass it makes; other models take none."""
    caption: str
    """For a trainer."""
    caption_parts: Mapping[str, str] = {}
    """What it says beside the trigger word, by what it is about, in order; empty in plans that were
    written before it was told apart."""
    seeds: tuple[int, ...]
    """Of attempt 1, 2 …, for composition and face alike."""
    width: int
    height: int
    making: Making

    @property
    def name(self) -> str:
        """Of its records and files, such as `01-front`."""
        return f"{self.nn:02d}-{self.id}"

    @property
    def back(self) -> bool:
        return self.head is None

    @property
    def asked(self) -> AskedView:
        head = self.head
        turned = None if head is None else Head(head.yaw, head.pitch, head.roll)
        return AskedView(turned, self.framing)

    @property
    def composes(self) -> bool:
        """Whether the base model composes it first; SDXL with InstantID makes it in one pass."""
        return self.making is not Making.INSTANTID

    @property
    def face_pass(self) -> bool:
        """Whether InstantID makes its face."""
        return self.making is not Making.COMPOSED


class PlannedReuse(_Part):
    """Views that another sheet has made, by their ids."""

    job: str
    views: tuple[str, ...]


class SheetPlan(JsonDocument, _Part):
    v: int = VERSION
    job_id: str
    name: str
    """The character's: text of the caller's, to be escaped wherever it is shown."""
    base: BaseName
    making: Making
    """Of the views with a face; each view has its own."""
    references: tuple[str, ...] = ()
    """Keys of pictures."""
    profiles_apart: bool = False
    """Whether references in profile serve for views from their side alone; not so in plans that
    were written before they did."""
    lora: PlannedLora | None = None
    trigger_word: str = ""
    """As used: the caller's, or the one stored beside the LoRA."""
    composition_weights: Mapping[str, PlannedWeight]
    """Role → file of the first pass; with `instantid` and `controlnet` where it is the only one."""
    face_weights: Mapping[str, PlannedWeight] = {}
    """Of the face pass; empty without one."""
    sampling: PlannedSampling
    face_sampling: PlannedSampling | None = None
    face_padding: float = FACE_PADDING
    face_landmarks: bool = False
    """Whether the face pass is given the asked head, drawn where the composed face was found; not
    so in plans that were written before it was."""
    identity: PlannedIdentity
    views: tuple[PlannedView, ...]
    reuse: PlannedReuse | None = None
    """Of `views`, those that are not made here."""
    thresholds: Thresholds
    attempts_per_view: int
    min_views: int
    scored_against: ScoredAgainst
    output_format: OutputFormat = "png"
    nsfw: bool = False

    @property
    def reused_views(self) -> tuple[PlannedView, ...]:
        """Those that another sheet has made."""
        reused = () if self.reuse is None else self.reuse.views
        return tuple(view for view in self.views if view.id in reused)

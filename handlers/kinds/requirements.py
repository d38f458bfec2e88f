"""What a job needs from the bucket beside its manifest, and what it was given for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from handlers.loras.bases import Base
from handlers.loras.refs import LoraRef


@dataclass(frozen=True)
class LoraRequest:
    ref: LoraRef
    base: Base
    """What it must fit."""


@dataclass(frozen=True)
class RequiredInputs:
    lora: LoraRequest | None = None
    """None for a job without one."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Field of the input → key of its picture."""
    min_face_similarity: float | None = None
    """A gate that the embedder's strangers must not reach."""
    face_boxes: bool = False
    """Whether faces must be found in pictures, for which a face pack must be there."""


@dataclass(frozen=True)
class LoraFile:
    """A checked LoRA where ComfyUI finds it."""

    file: str
    """Its name for ComfyUI's loader."""
    key: str
    """In the bucket."""
    sha256: str
    """In hex, of the whole file."""
    trigger_word: str
    """Of the file beside it, or empty."""


@dataclass(frozen=True)
class Supplies:
    """What was fetched for the job; see RequiredInputs."""

    lora: LoraFile | None = None
    images: Mapping[str, bytes] = field(default_factory=dict)
    """Field of the input → its picture, decoded once, upright and with nothing but pixels in it."""

"""The paths that take jobs, and every path of the system before this one with what became of it.

The one source of the routes, of the answer 410, and of the table in docs/api.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from handlers.kinds.registry import KINDS, NOT_YET


@dataclass(frozen=True)
class Endpoint:
    path: str
    kind: str
    """That it takes; one of NOT_YET is answered 501."""
    old: bool = False
    """Clients of the system before this one know it: they send `Accept: */*`, and save whatever
    comes with a 2xx as a picture."""
    alias: bool = False
    """Another name of a path of our own."""
    changed: str = ""
    """What its old clients should know."""

    @property
    def available(self) -> bool:
        return self.kind in KINDS


@dataclass(frozen=True)
class Gone:
    """A path of the system before this one, answered 410."""

    path: str
    """May end in `{rest}`: all that begin like this."""
    instead: str
    """A sentence for its clients."""


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint("/flux-dev", "flux-dev", old=True),
    Endpoint("/flux-schnell", "flux-schnell"),
    Endpoint("/flux", "flux-schnell", old=True, alias=True, changed="four steps, as before"),
    Endpoint("/flux-lora", "flux-lora", old=True),
    Endpoint("/flux-dev-lora", "flux-lora", old=True, alias=True),
    Endpoint(
        "/flux-instantid",
        "flux-instantid",
        old=True,
        changed="the face is made by a second pass on SDXL",
    ),
    Endpoint("/sdxl-instantid", "sdxl-instantid", old=True),
    Endpoint("/z-image-turbo", "z-image-turbo"),
    Endpoint(
        "/z-image-simple",
        "z-image-turbo",
        old=True,
        alias=True,
        changed="sampled as the model's makers do: 8 steps unless given",
    ),
    Endpoint(
        "/z-image-lora",
        "z-image-turbo",
        old=True,
        alias=True,
        changed="sampled as the model's makers do: 8 steps unless given",
    ),
    Endpoint(
        "/workflow",
        "workflow",
        old=True,
        changed="`prompt` is put where the graph asks for it, no longer into every text",
    ),
    Endpoint("/character-sheet", "character-sheet"),
    Endpoint("/wan-t2v", "wan-t2v"),
)

_VIDEO = "There is no video yet; it will be POST /wan-t2v."
_FACE = "POST /flux-instantid with the face as reference_image and what to draw as prompt."
_FACE_ON_Z_IMAGE = 'POST /flux-instantid with "base": "z-image-turbo".'

GONE: Sequence[Gone] = (
    Gone(
        "/flux-dev-realism",
        "POST /flux-lora with lora_name flux-realism-lora, lora_strength 0.85, and a prompt that"
        ' begins with "Ultra realistic, ".',
    ),
    Gone("/flux-pulid", "POST /flux-instantid: its instantid_strength is what pulid_strength was."),
    Gone("/flux-ipadapter-faceid", "POST /flux-instantid, with guidance for guidance_scale."),
    Gone("/z-image-danrisi", "POST /z-image-turbo, or the graph itself to /workflow."),
    Gone("/z-image-instantid", _FACE_ON_Z_IMAGE),
    Gone("/z-image-pulid", _FACE_ON_Z_IMAGE),
    Gone("/z-image-pulid-lora", _FACE_ON_Z_IMAGE + " It takes no LoRA there."),
    Gone("/z-image-nsfw", "POST /flux-dev with nsfw and consent; Z-Image has no such checkpoint."),
    Gone("/z-image-realism", "POST /z-image-turbo: its pictures are photographs unless asked."),
    Gone("/sdxl-turbo", "POST /flux-schnell, which makes a picture in four steps."),
    Gone("/sdxl-lightning", "POST /flux-schnell, which makes a picture in four steps."),
    Gone("/qwen-image-{rest}", "POST /flux-dev, or the graph itself to /workflow."),
    Gone("/qwen-faceswap", _FACE),
    Gone("/image-faceswap", _FACE),
    Gone("/video-faceswap", "There is no video yet, nor a face put into one."),
    Gone("/batch-video-faceswap", "There is no video yet, nor a face put into one."),
    Gone("/wan2", _VIDEO),
    Gone("/wan2-lora", _VIDEO),
    Gone("/wan2.6{rest:path}", _VIDEO),
    Gone("/wan22-{rest}", _VIDEO),
    Gone("/seedvr2", "There is no upscaling yet; it will be POST /seedvr2 again."),
)

assert {each.kind for each in ENDPOINTS} <= {*KINDS, *NOT_YET}

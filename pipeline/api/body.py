"""Request bodies: a kind's input and the manifest's own fields, side by side in one object."""

from collections.abc import Mapping
from copy import copy
from functools import cache
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.fields import FieldInfo

from config.errors import BadManifest, NotAvailable, RylaError, UnknownField
from config.nearest import nearest
from handlers.kinds.base import image_fields
from handlers.kinds.registry import KINDS, lookup
from pipeline.contract.keys import clip
from pipeline.contract.manifest import MAX_PROBLEMS, Manifest

NOT_OF_THE_CALLER = frozenset({"version", "model", "input", "tenant"})
"""Of a manifest: the path says the model, the key says the tenant."""
MANIFEST_FIELDS: Mapping[str, FieldInfo] = {
    name: field for name, field in Manifest.model_fields.items() if name not in NOT_OF_THE_CALLER
}
MANIFEST_WORDS = {
    "distinct_id": "Whose events these are, in PostHog; the tenant's unless given.",
    "priority": "Higher first.",
    "deadline": "With its time zone; a job that has not started by then fails.",
    "max_cost_usd": "Refused when the lower estimate is above it, before any GPU starts.",
    "consent": "Of the person shown; needed for nsfw with a face or a LoRA.",
    "batch": "A name for jobs that belong together: sums and budgets go by it.",
    "metadata": "Yours, at most 16 KiB; repeated in the result.",
    "callback_url": "https, of a host that the operator lists; gets one signed POST at the end.",
}
IMAGE_WORDS = (
    "A picture: data URL, https URL of a host that the operator lists, or the key of one that you"
    " have sent here before."
)
EXAMPLE_IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR42mOs"
    "iHJjYGBgYmBgYGBgAAANfAEcwU8gWwAAAABJRU5ErkJggg=="
)
"""Two by two pixels."""
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "flux-dev": {"prompt": "a lighthouse in fog, 35mm", "steps": 20, "seed": 7},
    "flux-schnell": {"prompt": "a paper fox on a windowsill"},
    "flux-lora": {
        "prompt": "reading in a café",
        "lora_id": "ann",
        "lora_strength": 0.9,
        "trigger_word": "ohwx woman",
    },
    "flux-instantid": {
        "prompt": "portrait of a woman on a quay, evening light",
        "reference_image": EXAMPLE_IMAGE,
        "base": "flux-dev",
    },
    "sdxl-instantid": {
        "prompt": "portrait of a woman on a quay, evening light",
        "negative_prompt": "blurry",
        "reference_image": EXAMPLE_IMAGE,
        "instantid_strength": 0.85,
    },
    "z-image-turbo": {"prompt": "night market in the rain", "width": 1024, "height": 768},
    "character-sheet": {
        "name": "Ann",
        "description": "a woman of 30 with short red hair",
        "reference_images": [EXAMPLE_IMAGE],
        "views": "ten",
        "min_face_match": 0.85,
        "attempts_per_view": 3,
    },
    "workflow": {
        "workflow": {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": 0},
            },
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        }
    },
}


def manifest_of(kind: str, tenant: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest that a body asks for: the fields given and no others.

    Raises UnknownField, or NotAvailable for a kind that is not built.
    """
    fields = lookup(kind).input_model.model_fields
    known = [*fields, *MANIFEST_FIELDS]
    strange = islice((name for name in body if name not in known), MAX_PROBLEMS)
    unknown = [_unknown(name, body[name], known) for name in strange]
    if unknown:
        first, *others = unknown
        first.others = tuple(others)
        raise first
    own = {name: value for name, value in body.items() if name in MANIFEST_FIELDS}
    given = {name: value for name, value in body.items() if name in fields}
    return {"version": 1, "model": kind, "tenant": tenant, "input": given, **own}


def _unknown(name: str, value: object, known: list[str]) -> UnknownField:
    guess = nearest(name, known)
    return UnknownField(
        f"unknown field {clip(name)!r}",
        field=clip(name),
        value=value,
        hint=f"Did you mean {guess!r}?" if guess else f"Known: {', '.join(known)}.",
    )


class FieldNotAvailable(NotAvailable):
    """The kind is available, and the request can be sent without the field."""

    http_status = 422


def in_body_terms(error: RylaError) -> RylaError:
    """An error of the manifest, with its place as the body has it: there is no `input` there."""
    if isinstance(error, NotAvailable):
        others = error.others
        error = FieldNotAvailable(
            error.message, field=error.field, value=error.value, hint=error.hint
        )
        error.others = others
    for each in (error, *(error.others if isinstance(error, BadManifest) else ())):
        if each.field is not None and each.field.startswith("input."):
            each.message = each.message.replace(each.field, each.field[len("input.") :])
            each.field = each.field[len("input.") :]
        elif each.field == "input":
            each.message = each.message.removeprefix("input: ")
            each.field = None
    return error


@cache
def body_model(kind: str) -> type[BaseModel]:
    """What OpenAPI shows for a kind. Bodies themselves are read as manifests are."""
    input_model = KINDS[kind].input_model
    images = set(image_fields(input_model))
    fields: dict[str, Any] = {}
    for name, field in input_model.model_fields.items():
        shown = _picture(field) if name in images else field
        fields[name] = (shown.annotation, shown)
    for name, field in MANIFEST_FIELDS.items():
        shown = copy(field)
        shown.description = MANIFEST_WORDS[name]
        fields[name] = (shown.annotation, shown)
    config = ConfigDict(extra="forbid", json_schema_extra={"examples": [dict(EXAMPLES[kind])]})
    return create_model(f"{kind.title().replace('-', '')}Request", __config__=config, **fields)


def _picture(field: FieldInfo) -> FieldInfo:
    shown = copy(field)
    shown.metadata = []  # its length is a key's, and here a whole picture may stand
    shown.description = IMAGE_WORDS
    return shown

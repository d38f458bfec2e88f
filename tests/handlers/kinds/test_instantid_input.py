"""What the InstantID kinds are asked for with."""

from typing import Any

import pytest
from pydantic import ValidationError

from handlers.kinds.base import Kind
from handlers.kinds.flux_instantid import FluxInstantId
from handlers.kinds.instantid import SdxlInstantId

SDXL, FLUX = SdxlInstantId(), FluxInstantId()


def asked(kind: Kind[Any], **fields: Any) -> Any:
    given = {"prompt": "a portrait", "reference_image": "inputs/a.png", "width": 512, "height": 512}
    return kind.input_model.model_validate(given | {"steps": 1} | fields)


@pytest.mark.parametrize("kind", [SDXL, FLUX])
def test_the_fields_of_older_clients_keep_their_defaults(kind: Kind[Any]) -> None:
    request = kind.input_model(prompt="x", reference_image="inputs/a.png")

    assert (request.instantid_strength, request.controlnet_strength) == (0.8, 0.8)
    assert (request.steps, request.cfg) == (20, 7.0 if kind is SDXL else 1.0)
    assert (request.sampler_name, request.face_provider) == ("euler", "CPU")
    assert request.scheduler == ("normal" if kind is SDXL else "karras")


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (SDXL, "reference_image", "data:image/png;base64,AAAA"),
        (SDXL, "reference_image", "jobs/other/out/a1/image-0.png"),
        (SDXL, "reference_image", None),
        (SDXL, "reference_images", ("jobs/other/out/a1/image-0.png",)),
        (SDXL, "reference_images", ("inputs/a.png",) * 2),
        (SDXL, "reference_images", tuple(f"inputs/{n}.png" for n in range(6))),
        (SDXL, "end_at", 0.0),
        (SDXL, "cfg", 0.5),
        (SDXL, "face_provider", "TPU"),
        (SDXL, "min_face_match", 1.1),
        (SDXL, "max_tries", 0),
        (SDXL, "denoise", 0.5),
        (FLUX, "base", "sdxl"),
        (FLUX, "denoise", 0),
        (FLUX, "face_padding", 1.0),
        (FLUX, "face_index", -1),
    ],
)
def test_what_cannot_be_meant_is_refused(kind: Kind[Any], field: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        asked(kind, **{field: value})

    assert [error["loc"][0] for error in caught.value.errors()] == [field]


def test_either_one_reference_or_several_are_given() -> None:
    with pytest.raises(ValidationError, match="not both"):
        asked(SDXL, reference_images=("inputs/b.png",))

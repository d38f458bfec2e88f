from typing import Any

import pytest

from config.errors import LoraMismatch, LoraNotFound
from config.models import load_models
from handlers.character_sheet.input import CharacterSheetInput
from handlers.kinds.seeds import seed_from_id
from handlers.loras.refs import ById
from pipeline.contract.document import canonical
from pipeline.contract.manifest import parse_manifest
from pipeline.sheets.compared_lora import TrainedLora, comparison_manifest, find_trained
from tests.pipeline.loras.support import Bucket, flux_lora, tiny_lora, z_image_lora
from tests.pipeline.sheets.test_redo import sheet

MODELS = load_models(None)
FLUX = TrainedLora("loras/character-ann.safetensors", "character-ann", "flux-dev")


def asked(document: dict[str, Any]) -> CharacterSheetInput:
    request = parse_manifest(canonical(document)).input
    assert isinstance(request, CharacterSheetInput)
    return request


@pytest.mark.parametrize(
    ("body", "base"), [(flux_lora(), "flux-dev"), (z_image_lora(), "z-image-turbo")]
)
def test_a_lora_is_found_with_the_base_that_it_was_trained_for(body: bytes, base: str) -> None:
    bucket = Bucket()
    bucket.upload("loras/flux-character-ann/job-7.safetensors", body)
    found = find_trained(bucket.store, ById("ann"), "acme", MODELS, "loras/")
    assert found.base == base
    assert found.name == "flux-character-ann/job-7", "pinned to this one file"


def test_a_lora_of_others_is_not_there_and_one_that_fits_no_base_is_told() -> None:
    bucket = Bucket()
    bucket.upload("loras/character-ann.safetensors", flux_lora())
    bucket.upload("loras/character-ann.json", b'{"tenants": ["zeta"]}')
    for id in ("ann", "nobody"):
        with pytest.raises(LoraNotFound):
            find_trained(bucket.store, ById(id), "acme", MODELS, "loras/")
    bucket.upload("loras/character-tiny.safetensors", tiny_lora())
    with pytest.raises(LoraMismatch):
        find_trained(bucket.store, ById("tiny"), "acme", MODELS, "loras/")


def test_the_same_views_and_seeds_are_made_by_the_lora_alone_on_its_base() -> None:
    first = sheet(
        tenant="acme",
        deadline="2026-01-01T00:00:00Z",
        callback_url="https://example.com/",
        input={
            "base": "sdxl",
            "views": "lora-24",
            "seeds": "per-view",
            "cfg": 5.0,
            "steps": 30,
            "instantid_strength": 0.7,
            "min_face_match": 0.8,
            "outfit": "a coat",
        },
    )
    document = comparison_manifest(first, FLUX)
    assert not {"deadline", "callback_url"} & document.keys()
    assert document["tenant"] == "acme"
    request = asked(document)
    assert (request.base, request.lora_name, request.reference_images) == (
        "flux-dev",
        "character-ann",
        (),
    )
    assert (request.views, request.seeds, request.outfit) == ("lora-24", "per-view", "a coat")
    assert request.seed == seed_from_id("ann")
    assert not {"cfg", "steps", "instantid_strength"} & document["input"].keys()


def test_on_the_same_base_its_sampling_stays_and_another_lora_makes_room() -> None:
    first = sheet(
        input={
            "base": "flux-dev",
            "steps": 30,
            "guidance": 3.0,
            "seed": 0,
            "lora_id": "old",
            "trigger_word": "ohwx",
            "reference_images": [],
        }
    )
    request = asked(comparison_manifest(first, FLUX))
    assert (request.steps, request.guidance, request.seed) == (30, 3.0, 0)
    assert (request.lora_id, request.lora_name, request.trigger_word) == (
        None,
        "character-ann",
        None,
    )

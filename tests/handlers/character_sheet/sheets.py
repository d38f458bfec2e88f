"""Inputs of sheets, as tests ask for them."""

import json
from typing import Any

from handlers.character_sheet.input import CharacterSheetInput

FACE = "inputs/face.png"


def sheet(**given: Any) -> CharacterSheetInput:
    """By one reference, unless said otherwise."""
    fields = {"name": "Ann", "reference_images": [FACE], **given}
    return CharacterSheetInput.model_validate_json(json.dumps(fields))


def lora_sheet(**given: Any) -> CharacterSheetInput:
    return sheet(**{"reference_images": [], "lora_id": "ann", **given})

"""The manifests that a demo submits: the files of a folder, each named for its job."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import InvalidInput
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.kind import CharacterSheet
from pipeline.contract.keys import DEFAULT_PRIORITY, INBOX, check_id, inbox_key
from pipeline.contract.result import Status

EXAMPLES = Path(__file__).parents[3] / "examples" / "manifests"
"""In a clone; an installed package has none, and is given a folder."""


@dataclass(frozen=True)
class Example:
    """A manifest with what is to become of it."""

    id: str
    entry: str
    """Its inbox key."""
    body: bytes
    document: Mapping[str, Any]
    expected: Status
    retried: Sequence[str] = ()
    """Views of a character sheet of which the first picture shows something else."""
    missing: Sequence[str] = ()
    """Views that the sheet lacks in the end."""

    @property
    def model(self) -> str:
        return str(self.document.get("model"))

    @property
    def input(self) -> Mapping[str, Any]:
        given = self.document.get("input")
        return given if isinstance(given, dict) else {}

    @property
    def sheet(self) -> CharacterSheetInput | None:
        """What a character sheet is asked for with; None for any other kind."""
        if self.model != CharacterSheet.name:
            return None
        return CharacterSheetInput.model_validate_json(json.dumps(self.input))

    @property
    def pictures(self) -> int:
        """How many it ends with."""
        number: int = self.input.get("num_images", 1)
        return number if self.sheet is None else len(self.sheet.chosen_views) - len(self.missing)


def load_examples(folder: Path) -> list[Example]:
    """Raises InvalidInput when there are none, InvalidId for a file that is not named for a job."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InvalidInput(
            f"{folder} holds no manifests",
            hint="Name a folder of <id>.json files with --manifests; a clone has one in examples/.",
        )
    return [read_example(file.stem, file.read_bytes()) for file in files]


def read_example(id: str, body: bytes) -> Example:
    """A manifest that says what becomes of it under metadata.expect; unsaid, it succeeds. A sheet
    says under metadata.retried and metadata.missing what becomes of its views.

    Raises InvalidInput for what says something else, InvalidId.
    """
    check_id(id)
    try:
        document = json.loads(body)
        metadata = document.get("metadata", {})
        expected = Status(metadata.get("expect", Status.SUCCEEDED))
        retried, missing = (_views(metadata.get(name, ())) for name in ("retried", "missing"))
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidInput(f"{id}.json cannot be an example: {error}") from None
    return Example(id, _entry(id, document), body, document, expected, retried, missing)


def _views(said: Any) -> tuple[str, ...]:
    """In a cell of a table they are one text."""
    return tuple(said.split("|") if isinstance(said, str) else said)


def _entry(id: str, document: Mapping[str, Any]) -> str:
    """A producer that names no tenant and no priority need not know of long keys either."""
    if "tenant" not in document and "priority" not in document:
        return f"{INBOX}{id}.json"
    return inbox_key(
        id,
        priority=document.get("priority", DEFAULT_PRIORITY),
        tenant=document.get("tenant", "default"),
        model=document["model"],
    )

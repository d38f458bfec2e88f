"""What a manifest says of who is seen, as far as erasing it needs. Pure."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from pipeline.contract.keys import INPUTS, is_beside_jobs
from pipeline.jobs.successors import LONGEST

DEFAULT_TENANT = "default"
_SUCCESSOR = re.compile(r"(.+)-[rc][1-9][0-9]{0,3}\Z")
"""The id of a redo, or of a comparison with a trained LoRA."""


@dataclass(frozen=True)
class JobTrace:
    """Of one job."""

    id: str
    tenant: str
    subjects: frozenset[str] = frozenset()
    """Every name by which the manifest may mean the person: `metadata.subject`, a sheet's
    `input.name`, `input.lora_id`, `consent.record`."""
    loras: frozenset[str] = frozenset()
    """Of the LoRA that shows the person, its `lora_id`."""
    inputs: frozenset[str] = frozenset()
    """Keys of its pictures."""
    reuses: str | None = None
    """The sheet whose views it reuses."""

    @property
    def bears(self) -> bool:
        """Whether it says anything that erasing another job could need."""
        return bool(self.subjects or self.inputs or self.reuses)

    def made_of(self, others: Mapping[str, "JobTrace | None"]) -> str | None:
        """Which of these jobs it was made of: it reuses its views, or is by its id its redo or its
        comparison, and names the same person or pictures."""
        if self.reuses in others:
            return self.reuses
        match = _SUCCESSOR.match(self.id)
        if match is None:
            return None
        alike = (id for id, other in others.items() if other and self._shows_what(other))
        return next((id for id in alike if id[:LONGEST] == match[1]), None)

    def _shows_what(self, other: "JobTrace") -> bool:
        return bool(self.subjects & other.subjects or self.inputs & other.inputs)


def trace_of(id: str, body: bytes) -> JobTrace:
    """Never raises: a manifest that cannot be read shows nobody."""
    document = _document(body)
    if not isinstance(document, dict):
        return JobTrace(id, DEFAULT_TENANT)
    given, metadata = _mapping(document, "input"), _mapping(document, "metadata")
    lora, tenant = given.get("lora_id"), document.get("tenant")
    named = (
        metadata.get("subject"),
        given.get("name"),
        lora,
        _mapping(document, "consent").get("record"),
    )
    reused = _mapping(given, "reuse").get("job")
    return JobTrace(
        id,
        tenant if isinstance(tenant, str) else DEFAULT_TENANT,
        frozenset(name for name in named if isinstance(name, str) and name),
        frozenset({lora} if isinstance(lora, str) and lora else ()),
        frozenset(
            text for text in _texts(given) if text.startswith(INPUTS) and is_beside_jobs(text)
        ),
        reused if isinstance(reused, str) else None,
    )


def _document(body: bytes) -> object:
    """None for what is no JSON. What the pipeline refuses as a manifest may show somebody all the
    same: half a character stands in it, or it is in UTF-16."""
    try:
        return from_json(body.removeprefix(BOM_UTF8))
    except ValueError:
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _texts(value: Any) -> Iterator[str]:
    """Every text in a document, however deep: a graph may name a picture anywhere."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as parts:
                left += parts.values()
            case list() as parts:
                left += parts

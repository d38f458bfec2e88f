"""What a manifest says of its job, as far as it can be read: valid or not, it has events."""

from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from pipeline.contract.keys import clip


@dataclass(frozen=True)
class Subject:
    """A job as far as its manifest can be read, valid or not."""

    id: str
    entry: str
    """Its inbox key."""
    submitted_at: datetime
    kind: str | None = None
    tenant: str | None = None
    distinct_id: str | None = None
    batch: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)


def subject(id: str, entry: str, submitted_at: datetime, body: bytes) -> Subject:
    """Never raises: what cannot be read is left out."""
    try:
        document = from_json(body.removeprefix(BOM_UTF8))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return Subject(id, entry, submitted_at)
    given, tenant = document.get("input"), document.get("tenant")
    return Subject(
        id,
        entry,
        submitted_at,
        kind=short_text(document.get("model")),
        tenant=short_text("default" if tenant is None else tenant),
        distinct_id=short_text(document.get("distinct_id")),
        batch=short_text(document.get("batch")),
        input=given if isinstance(given, dict) else {},
    )


def short_text(value: object) -> str | None:
    """A clipped copy of text; None for anything else."""
    return clip(value) if isinstance(value, str) else None

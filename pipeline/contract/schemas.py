"""JSON Schema of everything in the bucket that others write or read."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from events.stored_event import StoredEvent
from handlers.character_sheet.sheet_document import SheetDocument
from pipeline.contract.lease import Lease
from pipeline.contract.manifest import manifest_schema
from pipeline.contract.result import Metrics, Result

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = MappingProxyType(
    {
        "manifest": manifest_schema,
        "result": lambda: Result.model_json_schema(mode="serialization"),
        "metrics": lambda: Metrics.model_json_schema(mode="serialization"),
        "sheet": lambda: SheetDocument.model_json_schema(mode="serialization"),
        "lease": lambda: Lease.model_json_schema(mode="serialization"),
        "event": lambda: StoredEvent.model_json_schema(mode="serialization"),
    }
)
"""Name → what makes it; `ryla schema` writes them all."""


def schema(name: str) -> dict[str, Any]:
    """The schema of a document by its name in SCHEMAS. Raises KeyError for another."""
    return {**SCHEMAS[name](), "$schema": DIALECT, "title": f"ryla {name}"}

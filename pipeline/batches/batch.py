"""`batches/<name>.json`: which job each row of a batch is. Created once, and read tolerantly."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from config.errors import BatchConflict, BatchError, UnknownBatch
from handlers.json_document import JsonDocument
from pipeline.contract.keys import BATCH_PATTERN, BATCHES, NAME_PATTERN, batch_key, clip, is_id
from pipeline.store.base import Stored
from pipeline.store.conditional import SafeStore, listed

MAX_ROWS = 5000
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of the object. No more is read: a stranger may have put anything there."""
_NAME = re.compile(BATCH_PATTERN[:-1] + r"\Z")


def is_batch_name(value: str) -> bool:
    return _NAME.match(value) is not None


def check_batch_name(value: str) -> str:
    """`value` if it can name a batch. Raises BatchError."""
    if is_batch_name(value):
        return value
    raise BatchError(
        f"{clip(value)!r} is no name of a batch: it matches {BATCH_PATTERN}",
        field="name",
        value=clip(value),
        hint="Use small letters, digits and hyphens, such as autumn-2.",
    )


def _job_id(value: str) -> str:
    if not is_id(value):
        raise ValueError("no job id")
    return value


class _Part(BaseModel):
    """Fields of a later version are passed over: a batch is never rewritten."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class BatchRow(_Part):
    row: Annotated[int, Field(ge=1)]
    """Its number in the file, as a spreadsheet counts: a header is row 1."""
    id: Annotated[str, AfterValidator(_job_id)]
    """Of the row's job. A view that was made again later is in a job of its own."""
    character: Annotated[str, Field(max_length=200)]
    manifest_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    estimate_usd: FiniteFloat | None = None
    """With one try of each view; null where no estimate could be made."""


class Batch(JsonDocument, _Part):
    version: int = 1
    name: Annotated[str, Field(pattern=BATCH_PATTERN)]
    tenant: Annotated[str, Field(pattern=NAME_PATTERN)]
    created_at: datetime
    """By the store's clock, UTC."""
    rows: Annotated[tuple[BatchRow, ...], Field(min_length=1, max_length=MAX_ROWS)]
    estimate_usd: FiniteFloat | None = None
    """Of all rows with one try of each view, as it was shown before they were sent; null where none
    could be made."""
    most_usd: FiniteFloat | None = None
    """Likewise, with all tries."""
    budget_usd: FiniteFloat | None = None


def read_batch(store: SafeStore, name: str) -> Batch | None:
    """The batch of that name, or None where there is none.

    Raises BatchError for what can be no name, BatchConflict for an object that is no batch of it.
    """
    stored = store.get(batch_key(check_batch_name(name)), limit=MAX_BATCH_BYTES)
    return None if stored is None else read_stored(name, stored)


def read_stored(name: str, stored: Stored) -> Batch:
    """Raises BatchConflict where it is no batch of that name."""
    batch = Batch.parse(stored.body) if stored.size <= MAX_BATCH_BYTES else None
    if batch is not None and batch.name == name:
        return batch
    raise BatchConflict(
        f"{batch_key(name)} is no batch of that name",
        field="name",
        value=name,
        hint="Somebody else wrote that object. Use another name, or remove it.",
    )


def require_batch(store: SafeStore, name: str) -> Batch:
    """As read_batch; raises UnknownBatch where there is none."""
    batch = read_batch(store, name)
    if batch is None:
        raise UnknownBatch(f"no batch is named {name}", field="name", value=name)
    return batch


def batch_names(store: SafeStore) -> list[str]:
    """Of all batches, in the order of the names: one LIST for each thousand."""
    names = (entry.key.removeprefix(BATCHES) for entry in listed(store, BATCHES))
    return [name[:-5] for name in names if name.endswith(".json") and _NAME.match(name[:-5])]

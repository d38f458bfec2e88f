import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from config.errors import BatchConflict, BatchError, UnknownBatch
from pipeline.batches.batch import (
    MAX_BATCH_BYTES,
    Batch,
    BatchRow,
    check_batch_name,
    read_batch,
    require_batch,
)
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore

BATCH = Batch(
    name="autumn",
    tenant="acme",
    created_at=datetime(2026, 11, 29, tzinfo=UTC),
    rows=(BatchRow(row=2, id="autumn-002-ann", character="Ann", manifest_sha256="a" * 64),),
)


@pytest.fixture
def store() -> SafeStore:
    return SafeStore(MemoryStore())


def test_what_was_written_is_read_with_fields_of_a_later_version(store: SafeStore) -> None:
    later = {**json.loads(BATCH.body()), "colour": "blue"}
    store.create("batches/autumn.json", json.dumps(later).encode())

    assert read_batch(store, "autumn") == BATCH


def test_a_batch_that_is_not_there_is_none_or_an_error(store: SafeStore) -> None:
    assert read_batch(store, "autumn") is None
    with pytest.raises(UnknownBatch, match="autumn"):
        require_batch(store, "autumn")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "spring"},
        {"rows": []},
        {"rows": [{"row": 2, "id": "../x", "character": "", "manifest_sha256": "a" * 64}]},
        {"rows": [{"row": 0, "id": "x", "character": "", "manifest_sha256": "a" * 64}]},
        {"budget_usd": math.inf},
        {"padding": "x" * MAX_BATCH_BYTES},
    ],
    ids=["another_name", "no_rows", "a_path_for_an_id", "row_0", "infinite", "too_large"],
)
def test_what_a_stranger_wrote_is_no_batch(store: SafeStore, change: dict[str, Any]) -> None:
    store.create("batches/autumn.json", json.dumps({**json.loads(BATCH.body()), **change}).encode())

    with pytest.raises(BatchConflict, match=r"batches/autumn\.json"):
        read_batch(store, "autumn")


@pytest.mark.parametrize("name", ["", "Autumn", "a_b", "-a", "a\n", "a/b", "x" * 49])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(BatchError):
        check_batch_name(name)

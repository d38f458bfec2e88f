"""Batches for tests: their object, and results of their jobs."""

from datetime import UTC, datetime
from typing import Any

from pipeline.batches.batch import Batch, BatchRow
from pipeline.batches.rows import job_id
from pipeline.contract.keys import batch_key, manifest_key, result_key
from pipeline.contract.result import JobCost, MissingView, Output, OutputFace, OutputView, Region
from pipeline.store.conditional import SafeStore
from tests.support.jobs import a_result

FACE = Region(x=0, y=0, width=8, height=8)


def a_batch(*characters: str, name: str = "autumn", **fields: Any) -> Batch:
    """Rows from 2 on, of ids such as autumn-002-ann."""
    rows = tuple(
        BatchRow(
            row=number,
            id=job_id(name, number, character),
            character=character,
            manifest_sha256="a" * 64,
            estimate_usd=0.02,
        )
        for number, character in enumerate(characters, start=2)
    )
    return Batch(
        **{
            "name": name,
            "tenant": "acme",
            "created_at": datetime(2026, 11, 29, tzinfo=UTC),
            "rows": rows,
            "estimate_usd": 0.02 * len(rows),
            **fields,
        }
    )


def keep_batch(store: SafeStore, batch: Batch) -> None:
    store.create(batch_key(batch.name), batch.body())


def view_output(number: int, id: str, match: float | None = 0.9, **view: Any) -> Output:
    face = None
    if match is not None:
        face = OutputFace(
            similarity=match, match=match, embedder="test", faces_found=1, box=FACE, seed=1
        )
    return Output(
        key=f"jobs/x/out/a1/{number:02}-{id}.png",
        bytes=1,
        sha256="b" * 64,
        width=64,
        height=64,
        content_type="image/png",
        seed=1,
        face=face,
        view=OutputView(number=number, id=id, ok=True, **view),
    )


def end_sheet(store: SafeStore, id: str, usd: float = 0.03, **fields: Any) -> None:
    """As a worker ends it: manifest and result."""
    result = a_result(
        **{
            "id": id,
            "model": "character-sheet",
            "cost": JobCost(usd=usd, total_usd=usd),
            "outputs": (view_output(1, "front"), view_output(2, "back", None)),
            **fields,
        }
    )
    store.create(manifest_key(id), b"{}")
    store.create(result_key(id), result.body())


def missing_view(number: int, id: str, reason: str = "face_below_gate") -> MissingView:
    return MissingView(number=number, id=id, reason=reason, tries=3)

"""A bucket in memory with a sheet, what was made of it, and whoever has it forgotten."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from pipeline.contract.keys import (
    export_key,
    input_key,
    intake_key,
    manifest_key,
    result_key,
    review_key,
    thumb_key,
)
from pipeline.contract.spend_entry import SPEND
from pipeline.contract.tombstone import MANIFEST
from pipeline.erasure.eraser import Eraser, Progress
from pipeline.jobs.cancel import Canceller
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import flat_picture, sheet_manifest

FACE = flat_picture("the person's own picture")
SHA256 = hashlib.sha256(FACE).hexdigest()
INPUT = input_key(SHA256, "png")
VIEWS = ("front", "left")


def eraser(
    pipeline: PipelineFixture, store: SafeStore | None = None, progress: Progress | None = None
) -> Eraser:
    """Time passes as it sleeps."""
    store = store or pipeline.safe()
    canceller = Canceller(store, pipeline.runtime, pipeline.sink, "forget")
    return Eraser(store, pipeline.settings, canceller, pipeline.pass_time, progress or Progress())


def put(pipeline: PipelineFixture, key: str, body: bytes = b"{}") -> None:
    pipeline.raw._store.put(key, body, Always())


def put_face(pipeline: PipelineFixture, *tenants: str) -> None:
    """The person's picture, sent over HTTP by these tenants."""
    put(pipeline, INPUT, FACE)
    for tenant in tenants:
        put(pipeline, intake_key(tenant, SHA256), INPUT.encode())


def manifest(**changes: Any) -> bytes:
    """Of a sheet of the person."""
    given = {"reference_images": [INPUT], **changes.pop("input", {})}
    return sheet_manifest(VIEWS, "sdxl", input=given, tenant="acme", **changes)


def redo_manifest(of: str = "sheet") -> bytes:
    """Makes one view of it again, and calls the person otherwise."""
    return manifest(input={"name": "Nan", "reuse": {"job": of, "views": [VIEWS[0]]}})


def make_everything(sheets: Sheets) -> None:
    """A sheet, a redo of it, and for each what people and tools leave beside it."""
    pipeline = sheets.pipeline
    put_face(pipeline, "acme")
    sheets.finish(manifest(), "sheet")
    sheets.finish(redo_manifest(), "sheet-r2")
    put(pipeline, thumb_key(SHA256), b"small " + FACE)
    for id in ("sheet", "sheet-r2"):
        for output in pipeline.result(id).outputs:
            put(pipeline, thumb_key(output.sha256), b"small")
        put(pipeline, review_key(id), json.dumps({"version": 1, "job": id}).encode())
        put(pipeline, export_key(id, "0" * 64), b"PK " + FACE)
        put(pipeline, f"jobs/{id}/out/a7/lost.png", FACE)
    sheets.submit(manifest(metadata={"other": "body"}), "sheet")
    sheets.tick()  # which files it under rejected/


def pictures(pipeline: PipelineFixture) -> set[bytes]:
    """All that stand."""
    return {
        body for body in bodies(pipeline).values() if body.startswith((b"\x89PNG", b"\xff\xd8"))
    }


def bodies(pipeline: PipelineFixture) -> dict[str, bytes]:
    return dict(_bodies(pipeline))


def _bodies(pipeline: PipelineFixture) -> Iterator[tuple[str, bytes]]:
    for key in pipeline.keys(""):
        stored = pipeline.raw._store.get(key)
        assert stored is not None
        yield key, stored.body


def traces(pipeline: PipelineFixture, faces: set[bytes]) -> list[str]:
    """Keys of objects that hold one of these pictures, or name it by its sha256, or have
    embeddings or the key of one."""
    names = {hashlib.sha256(face).hexdigest().encode() for face in faces}
    signs = {*faces, *names, b"embedding", INPUT.encode()}
    return [
        key
        for key, body in bodies(pipeline).items()
        if any(sign in body or sign in key.encode() for sign in signs)
    ]


def keys_but_spend(pipeline: PipelineFixture) -> list[str]:
    """What a job has cost stays known."""
    return [key for key in pipeline.keys("") if not key.startswith(SPEND)]


def tombstones(*ids: str) -> list[str]:
    return sorted(key for id in ids for key in (manifest_key(id), result_key(id)))


def is_forgotten(pipeline: PipelineFixture, id: str) -> bool:
    """Wholly."""
    result, stored = pipeline.result(id), pipeline.raw._store.get(manifest_key(id))
    assert stored is not None
    ended = result.erasure is not None and result.erasure.ended_at is not None
    return ended and not (result.outputs or result.events) and stored.body == MANIFEST

"""What stands in the place of a forgotten job: who it was is gone, that its id is used is not.

Its result and its manifest are each written over once the rest is deleted, under the ETag that was
read. With a manifest in its place, whoever sends the id again is told that it was used, by every
part and version of the pipeline that compares the bytes. Of the result stays what the queue, the
audit, the books and the reports go by: whose job it was, of which kind and batch, where it ran,
when it ended and what it cost.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime

from pipeline.contract.keys import is_beside_jobs
from pipeline.contract.result import Erasure, Provenance, Result, Status

MANIFEST = b'{"forgotten": true}\n'
"""In the place of a forgotten job's manifest. No manifest can be so short."""
_STEP = 64
_SHA256 = hashlib.sha256(MANIFEST).hexdigest()


def is_tombstone_size(size: int) -> bool:
    """Whether a manifest of so many bytes is of a forgotten job, so that a listing tells it."""
    return size == len(MANIFEST)


def begun_tombstone(
    id: str,
    ended: Result | None,
    *,
    tenant: str | None,
    nonce: str,
    now: datetime,
    quiet_at: datetime,
    left: Iterable[str],
) -> Result:
    """Of a job that is about to be deleted. `ended` is its result, None where it cannot be read;
    `left` are the keys outside its folder that go with it."""
    made = ended.provenance if ended else None
    return Result(
        id=id,
        status=Status.FORGOTTEN,
        model=ended.model if ended else None,
        tenant=ended.tenant if ended else tenant,
        platform=ended.platform if ended else None,
        batch=ended.batch if ended else None,
        attempt=ended.attempt if ended else 0,
        nonce=nonce,
        manifest_sha256=_SHA256,
        submitted_at=ended.submitted_at if ended else None,
        finished_at=ended.finished_at if ended else now,
        cost=ended.cost if ended else None,
        provenance=made and Provenance(engine=made.engine, app_version=made.app_version),
        erasure=Erasure(
            begun_at=now, quiet_at=quiet_at, left=tuple(sorted(filter(is_beside_jobs, set(left))))
        ),
    )


def tombstone_body(tombstone: Result) -> bytes:
    """As it stands in the bucket: of a number of bytes by which a listing tells it from almost all
    other results."""
    body = tombstone.body()
    return body + b"\n" * (-len(body) % _STEP)


def may_be_tombstone(size: int) -> bool:
    """Whether a result of so many bytes may be one. A hint: of 64 others one has such a size."""
    return size % _STEP == 0


def ended_tombstone(begun: Result, now: datetime) -> Result:
    """Once all the rest is deleted."""
    assert begun.erasure is not None
    erasure = begun.erasure.model_copy(update={"ended_at": now, "left": ()})
    return begun.model_copy(update={"erasure": erasure})

"""Character sheets in a bucket as a worker left them that was lost between two steps."""

import hashlib
from collections.abc import Sequence
from typing import Any

from handlers.character_sheet.combinations import Making
from handlers.character_sheet.records import Picture, RecordedLook, RecordedScore, Try, record_name
from handlers.character_sheet.sheet_plan import SheetPlan
from pipeline.contract.keys import cell_key, lease_key, manifest_key, plan_key
from pipeline.contract.lease import Lease, Phase
from pipeline.store.base import Always, Store
from tests.support.jobs import a_lease
from tests.support.sheets import SIDE, flat_picture, sheet_manifest, sheet_plan

SEEN = RecordedLook(
    embedder="known",
    embedder_sha256="0" * 64,
    embedding="AACAPwAAAAA=",  # 1, 0
    side=120,
    strangers_mean=0.0,
    same_mean=1.0,
)


def made_view(number: int, id: str = "sheet", **changes: Any) -> Try:
    """A view without a fault; its choice is still to be recorded."""
    body = flat_picture(f"{id}-{number}")
    picture = Picture(
        key=f"jobs/{id}/out/a1/{number:02d}-v{number}.t1.png",
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        width=SIDE,
        height=SIDE,
        content_type="image/png",
    )
    fields: dict[str, Any] = {
        "number": number,
        "view": f"v{number}",
        "k": 1,
        "seed": 7,
        "picture": picture,
        "seconds": 3.0,
        "measured": {"yaw": 0.0, "framing": "close-up"},
        "score": RecordedScore(similarity=0.9, match=0.9, embedder="known", faces_found=1),
        "look": SEEN,
    }
    return Try.model_validate({**fields, **changes})


def begun_plan(id: str = "sheet", views: int = 3, **changes: Any) -> SheetPlan:
    return sheet_plan([Making.INSTANTID] * views, job_id=id, **changes)


def put_begun_sheet(
    store: Store, id: str = "sheet", made: Sequence[int] = (1, 2), views: int = 3, **lease: Any
) -> Lease:
    """Manifest, plan, the records and pictures of the views `made`, and the lease that its worker
    held; `min_views` of the plan is 1."""

    def put(key: str, body: bytes) -> None:
        store.put(key, body, Always())

    put("inputs/ann.png", flat_picture("ann"))
    put(manifest_key(id), sheet_manifest(("front", "left", "right")[:views]))
    put(plan_key(id), begun_plan(id, views).body())
    for number in made:
        record = made_view(number, id)
        put(record.picture.key, flat_picture(f"{id}-{number}"))
        put(cell_key(id, record_name(record)), record.body())
    held = {
        "id": id,
        "entry": f"inbox/{id}.json",
        "model": "character-sheet",
        "tenant": "default",
        "attempt": 1,
        "phase": Phase.RUNNING,
        "ttl_s": 60,
        **lease,
    }
    stands = a_lease(**held)
    put(lease_key(id), stands.body())
    return stands

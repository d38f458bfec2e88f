"""The result of a job, built in one place for whoever ends it: the worker that ran it, a dispatcher
that refuses it, somebody who cancels it. Pure."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from config.errors import BadManifest, RylaError
from config.settings import Settings
from events.stored_event import StoredEvent
from pipeline.contract.error_info import error_info
from pipeline.contract.lease import Lease
from pipeline.contract.result import JobCost, Result, Status
from pipeline.contract.summary import Subject
from pipeline.notify.callbacks import reporting


def job_result(
    about: Subject,
    lease: Lease,
    body: bytes,
    status: Status,
    *,
    settings: Settings,
    platform: str,
    now: datetime,
    events: Sequence[StoredEvent],
    cost: JobCost | None = None,
    error: RylaError | None = None,
    **more: Any,
) -> Result:
    """The result of the job that has this lease and this manifest, valid or not.

    `body` is the manifest's bytes, `now` the store's clock. Without a `cost` it did not run, and
    has cost what its earlier attempts did. `platform` is that of whoever ends it: where no lease
    says another, it ran there. `more` are further fields of Result.
    """
    spent, told = lease.spent, reporting(body, settings)
    others = error.others if isinstance(error, BadManifest) else ()
    fields = {
        "id": lease.id,
        "status": status,
        "model": about.kind,
        "tenant": about.tenant,
        "platform": lease.platform or platform,
        "batch": about.batch,
        "attempt": lease.attempt,
        "nonce": lease.nonce,
        "manifest_sha256": hashlib.sha256(body).hexdigest(),
        "submitted_at": lease.submitted_at,
        "finished_at": now,
        "cost": cost or JobCost(usd=0.0, total_usd=spent.usd, upper_bound=spent.upper_bound),
        "error": None if error is None else error_info(error),
        "also": tuple(map(error_info, others)),
        "metadata": told.metadata,
        "callback_url": told.callback_url,
        "events": tuple(events),
    }
    return Result(**{**fields, **more})

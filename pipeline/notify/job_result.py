"""The result of a job, built in one place for whoever ends it: the worker that ran it, a dispatcher
that refuses it, somebody who cancels it. Pure."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from config.errors import BadManifest, RylaError
from events.stored_event import StoredEvent
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.contract.error_info import error_info
from pipeline.contract.lease import Lease, Spent
from pipeline.contract.manifest import parse_manifest
from pipeline.contract.result import JobCost, Result, Status
from pipeline.contract.summary import Subject
from pipeline.notify.callbacks import reporting
from pipeline.runtime import RuntimeConfig


def job_result(
    about: Subject,
    lease: Lease,
    body: bytes,
    status: Status,
    *,
    runtime: RuntimeConfig,
    now: datetime,
    events: Sequence[StoredEvent],
    cost: JobCost | None = None,
    error: RylaError | None = None,
    **more: Any,
) -> Result:
    """The result of the job that has this lease and this manifest, valid or not.

    `body` is the manifest's bytes, `now` the store's clock. Without a `cost` it did not run, and
    has cost what its earlier attempts did. `runtime` is that of whoever ends it: where no lease
    says another platform, it ran there. `more` are further fields of Result.
    """
    told = reporting(body, runtime.settings)
    others = error.others if isinstance(error, BadManifest) else ()
    fields = {
        "id": lease.id,
        "status": status,
        "model": about.kind,
        "tenant": about.tenant,
        "platform": lease.platform or runtime.platform,
        "batch": about.batch,
        "attempt": lease.attempt,
        "nonce": lease.nonce,
        "manifest_sha256": hashlib.sha256(body).hexdigest(),
        "submitted_at": lease.submitted_at,
        "finished_at": now,
        "cost": cost or not_run(lease.spent, body, runtime),
        "error": None if error is None else error_info(error),
        "also": tuple(map(error_info, others)),
        "metadata": told.metadata,
        "callback_url": told.callback_url,
        "events": tuple(events),
    }
    return Result(**{**fields, **more})


def not_run(spent: Spent, body: bytes, runtime: RuntimeConfig) -> JobCost:
    """Of a job that ends where nothing runs: what its attempts cost before, and its estimate."""
    estimate = _estimate(body, runtime)
    return JobCost(
        usd=0.0,
        total_usd=spent.usd,
        upper_bound=spent.upper_bound,
        estimate_usd=estimate.usd if estimate else None,
        estimate_most_usd=estimate.most_usd if estimate else None,
    )


def _estimate(body: bytes, runtime: RuntimeConfig) -> costs.Estimate | None:
    """None where the manifest is at fault or asks for more than numbers can say, and where no
    route runs its kind."""
    try:
        manifest = parse_manifest(body)
        kind = KINDS[manifest.model]
        gpu = runtime.gpus.gpu(runtime.routes.route(kind.route).gpus[0])
        found = costs.job_estimate(kind, manifest.input, gpu, runtime.routes, runtime.gpus)
    except (RylaError, OverflowError):
        return None
    return found if isfinite(found.usd or 0.0) and isfinite(found.most_usd or 0.0) else None

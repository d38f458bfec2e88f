"""May this job be spawned? Everything that can be known before a GPU starts is decided here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from config.errors import (
    AttemptsExhausted,
    BadManifest,
    DeadlineExceeded,
    LoraError,
    ManifestTooLarge,
    NotAvailable,
    RylaError,
    StoreError,
    UnknownField,
    UnsupportedVersion,
)
from events.moments import Moment
from handlers.kinds.registry import KINDS
from handlers.policy.rules import PolicySubject, likeness
from pipeline import costs
from pipeline.contract.error_info import error_info
from pipeline.contract.keys import MAX_BYTES, parse_inbox_key
from pipeline.contract.lease import Lease
from pipeline.contract.manifest import Manifest, check_key, deadline_passed, parse_manifest
from pipeline.contract.result import Result, Status
from pipeline.contract.summary import subject
from pipeline.dispatcher.judged_lease import judged
from pipeline.inputs.graph_limits import require_within_limits
from pipeline.inputs.supplies import job_request
from pipeline.notify.callbacks import require_callback
from pipeline.notify.job_events import Origin, ended, lora_load_failed, requested
from pipeline.notify.job_result import job_result
from pipeline.queue.bounds import exhausted
from pipeline.queue.claim_steps import size_of_too_large
from pipeline.queue.protocol import Preflight
from pipeline.queue.spawn import SpawnPayload, make_payload
from pipeline.runtime import RuntimeConfig
from pipeline.sheets.cells import SHEET, StoredSheet
from pipeline.sheets.end_files import WriteEndFiles, no_end_files
from pipeline.sheets.sheet_result import sheet_result
from workflows.validation import require_valid

NEWER_PAUSE_S = 15.0
"""Until a job that this version does not know is looked at again."""


def _has_all(_: Manifest) -> str | None:
    """For jobs that need nothing from the bucket."""
    return None


def _no_newer() -> bool:
    """For versions that run alone."""
    return False


def _no_sheet(_: str) -> None:
    """For jobs of which nothing was made."""


def _open(_: Lease) -> RylaError | None:
    """For systems in which nothing is stopped."""
    return None


def preflight(
    ask: Preflight,
    runtime: RuntimeConfig,
    now: datetime,
    check_needs: Callable[[Manifest], str | None] = _has_all,
    newer_is_deployed: Callable[[], bool] = _no_newer,
    find_sheet: Callable[[str], StoredSheet | None] = _no_sheet,
    write_files: WriteEndFiles = no_end_files,
    why_waits: Callable[[Lease], RylaError | None] = _open,
) -> SpawnPayload | Result | Lease:
    """What to spawn, the result that refuses the job, or the lease to hand back.

    `now` is the store's clock. `check_needs` gives the key of the job's LoRA, and raises for what
    the job needs and the bucket does not have. `newer_is_deployed` is asked before a job is refused
    for what this version does not know. `find_sheet` reads what stands of a character sheet, which
    is neither judged for its price again nor lost when the job is refused; `write_files` then
    stores what is said of it. `why_waits` says why a job in which nothing is amiss is handed back
    all the same, to wait; it is given the lease with all that the body says. Raises a StoreError,
    which says nothing of the job.
    """
    lease = ask.lease
    sheet = _Begun(find_sheet, lease, ask.body)
    try:
        manifest, estimate = _acceptable(ask, runtime, now, sheet)
        known = judged(lease, manifest, estimate)
        held_back = why_waits(known)
        if held_back is not None:
            return known.waiting(not_before=now, error=error_info(held_back))
        lora = check_needs(manifest)
    except StoreError:
        raise  # says nothing of the job
    except RylaError as error:
        if _is_unknown_here(error) and newer_is_deployed():
            return _left_to_newer(lease, error, now)
        return _refusal(lease, ask.body, error, runtime, now, sheet.found, write_files)
    known = known.model_copy(update={"lora": lora})
    return make_payload(known, ask.etag, manifest.model, ask.body, now)


@dataclass(frozen=True)
class _Begun:
    """The character sheet of a job that has been executed before, read when it matters."""

    find: Callable[[str], StoredSheet | None]
    lease: Lease
    body: bytes

    @cached_property
    def found(self) -> StoredSheet | None:
        """None for any other job, and before a plan stands."""
        lease = self.lease
        if lease.attempt < 2 or SHEET not in (lease.model, _kind(lease, self.body)):
            return None
        return self.find(lease.id)


def _kind(lease: Lease, body: bytes) -> str | None:
    return subject(lease.id, lease.entry, lease.submitted_at, body).kind


def _is_unknown_here(error: RylaError) -> bool:
    """Whether a later version may know what this one does not: a kind, a field, a form."""
    problems = (error, *(error.others if isinstance(error, BadManifest) else ()))
    return any(
        isinstance(each, UnknownField | NotAvailable | UnsupportedVersion) or each.field == "model"
        for each in problems
    )


def _left_to_newer(lease: Lease, error: RylaError, now: datetime) -> Lease:
    """Handed back, and no failure; whoever ticks next decides."""
    later = now + timedelta(seconds=NEWER_PAUSE_S)
    return lease.waiting(not_before=later, error=error_info(error))


def _acceptable(
    ask: Preflight, runtime: RuntimeConfig, now: datetime, sheet: _Begun
) -> tuple[Manifest, costs.Estimate]:
    lease = ask.lease
    used_up = exhausted(lease, runtime.settings.max_attempts)
    if used_up is not None:
        raise used_up
    _refuse_too_large(ask.body)
    manifest = parse_manifest(ask.body)
    check_key(parse_inbox_key(lease.entry), manifest)
    require_wanted(manifest, runtime, now)
    priced = manifest.max_cost_usd is not None and sheet.found is None
    return manifest, check_work(lease.id, manifest, runtime, priced=priced)


def require_wanted(manifest: Manifest, runtime: RuntimeConfig, now: datetime) -> None:
    """What a sender may ask of this deployment, now by the store's clock.

    Raises a PolicyRefused, InvalidField for a callback that is not allowed, DeadlineExceeded.
    """
    require_callback(manifest.callback_url, runtime.settings)
    runtime.policy.require(_policy_subject(manifest))
    if deadline_passed(manifest, now):
        raise DeadlineExceeded(
            f"the deadline {manifest.deadline} passed before a worker started",
            field="deadline",
            value=str(manifest.deadline),
            hint="Give a later deadline, or a higher priority.",
        )


def _policy_subject(manifest: Manifest) -> PolicySubject:
    request = manifest.input
    return PolicySubject(
        tenant=manifest.tenant,
        nsfw=bool(getattr(request, "nsfw", False)),
        consent=manifest.consent is not None,
        prompts=KINDS[manifest.model].prompts(request),
        likeness=likeness(request),
    )


def _refuse_too_large(body: bytes) -> None:
    size = size_of_too_large(body)
    if size is not None:
        raise ManifestTooLarge(
            f"the manifest has {size} bytes, at most {MAX_BYTES} are read", value=size
        )


def check_work(
    id: str, manifest: Manifest, runtime: RuntimeConfig, *, priced: bool = True
) -> costs.Estimate:
    """The estimate on the route's first GPU.

    Raises what makes the job impossible or too dear: NotAvailable without a route, OverBudget,
    MissingModel, NodeMissing or GraphRejected for graphs that do not fit the node interfaces. Of a
    caller's graph also NsfwNotAllowed for the uncensored checkpoint, and what
    `require_within_limits` raises.
    """
    kind = KINDS[manifest.model]
    route = runtime.routes.routes.get(kind.route)
    if route is None:
        raise NotAvailable(
            f"no route runs {kind.name} any more",
            field="model",
            value=kind.name,
            hint=f"Routes here: {', '.join(runtime.routes.routes)}.",
        )
    gpu = runtime.gpus.gpu(route.gpus[0])
    require_within_limits(manifest, runtime)
    estimate = costs.job_estimate(kind, manifest.input, gpu, runtime.routes, runtime.gpus)
    too_dear = costs.over_budget(estimate, manifest.max_cost_usd) if priced else None
    if too_dear is not None:
        raise too_dear
    for graph in kind.graphs(job_request(id, 1, manifest), runtime.models):
        require_valid(graph, runtime.interfaces, lacking=kind.lacking)
    return estimate


def _refusal(
    lease: Lease,
    body: bytes,
    error: RylaError,
    runtime: RuntimeConfig,
    now: datetime,
    sheet: StoredSheet | None,
    write_files: WriteEndFiles,
) -> Result:
    about = subject(lease.id, lease.entry, lease.submitted_at, body)
    failed = isinstance(error, DeadlineExceeded | AttemptsExhausted)
    moment = Moment.FAILED if isinstance(error, AttemptsExhausted) else Moment.REFUSED
    origin = Origin.of(runtime)
    at: dict[str, Any] = {"attempt": lease.attempt, "at": now}
    lora = [lora_load_failed(about, origin, error, **at)] if isinstance(error, LoraError) else []
    before = (*requested(about, origin), *lease.events, *lora)
    if sheet is not None:
        return sheet_result(
            sheet, lease, about, body, error, moment, before, write_files, runtime=runtime, now=now
        )
    end = ended(about, origin, moment, error=error_info(error), cost_usd=lease.spent.usd, **at)
    return job_result(
        about,
        lease,
        body,
        Status.FAILED if failed else Status.REJECTED,
        runtime=runtime,
        now=now,
        events=(*before, end),
        error=error,
    )

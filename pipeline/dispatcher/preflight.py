"""May this job be spawned? Everything that can be known before a GPU starts is decided here."""

from collections.abc import Callable
from datetime import datetime, timedelta
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
from pipeline.contract.errors import error_info
from pipeline.contract.keys import MAX_BYTES, parse_inbox_key
from pipeline.contract.lease import Lease
from pipeline.contract.manifest import Manifest, check_key, deadline_passed, parse_manifest
from pipeline.contract.result import Result, Status
from pipeline.contract.summary import subject
from pipeline.inputs.graph_limits import require_within_limits
from pipeline.inputs.supplies import job_request
from pipeline.notify.callbacks import require_callback
from pipeline.notify.job_events import Origin, ended, lora_load_failed, requested
from pipeline.notify.results import job_result
from pipeline.queue.bounds import exhausted
from pipeline.queue.claim_steps import size_of_too_large
from pipeline.queue.protocol import Preflight
from pipeline.queue.spawn import SpawnPayload, make_payload
from pipeline.runtime import RuntimeConfig
from workflows.validation import require_valid

NEWER_PAUSE_S = 15.0
"""Until a job that this version does not know is looked at again."""


def _has_all(_: Manifest) -> str | None:
    """For jobs that need nothing from the bucket."""
    return None


def _no_newer() -> bool:
    """For versions that run alone."""
    return False


def preflight(
    ask: Preflight,
    runtime: RuntimeConfig,
    now: datetime,
    check_needs: Callable[[Manifest], str | None] = _has_all,
    newer_is_deployed: Callable[[], bool] = _no_newer,
) -> SpawnPayload | Result | Lease:
    """What to spawn, the result that refuses the job, or the lease to hand back.

    `now` is the store's clock. `check_needs` gives the key of the job's LoRA, and raises for what
    the job needs and the bucket does not have. `newer_is_deployed` is asked before a job is refused
    for what this version does not know. Raises a StoreError, which says nothing of the job.
    """
    lease = ask.lease
    try:
        manifest = _acceptable(ask, runtime, now)
        lora = check_needs(manifest)
    except StoreError:
        raise  # says nothing of the job
    except RylaError as error:
        if _is_unknown_here(error) and newer_is_deployed():
            return _left_to_newer(lease, error, now)
        return _refusal(lease, ask.body, error, runtime, now)
    known = lease.model_copy(
        update={"model": manifest.model, "tenant": manifest.tenant, "lora": lora}
    )
    return make_payload(known, ask.etag, manifest.model, ask.body, now)


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


def _acceptable(ask: Preflight, runtime: RuntimeConfig, now: datetime) -> Manifest:
    lease = ask.lease
    used_up = exhausted(lease, runtime.settings.max_attempts)
    if used_up is not None:
        raise used_up
    _refuse_too_large(ask.body)
    manifest = parse_manifest(ask.body)
    check_key(parse_inbox_key(lease.entry), manifest)
    require_callback(manifest.callback_url, runtime.settings)
    runtime.policy.require(_policy_subject(manifest))
    if deadline_passed(manifest, now):
        raise DeadlineExceeded(
            f"the deadline {manifest.deadline} passed before a worker started",
            field="deadline",
            value=str(manifest.deadline),
            hint="Give a later deadline, or a higher priority.",
        )
    check_work(lease.id, manifest, runtime)
    return manifest


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


def check_work(id: str, manifest: Manifest, runtime: RuntimeConfig) -> costs.Estimate:
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
    estimate = costs.estimate(kind.name, kind.work(manifest.input), gpu, route, runtime.gpus)
    too_dear = costs.over_budget(estimate, manifest.max_cost_usd)
    if too_dear is not None:
        raise too_dear
    for graph in kind.graphs(job_request(id, 1, manifest), runtime.models):
        require_valid(graph, runtime.interfaces, lacking=kind.lacking)
    return estimate


def _refusal(
    lease: Lease, body: bytes, error: RylaError, runtime: RuntimeConfig, now: datetime
) -> Result:
    about = subject(lease.id, lease.entry, lease.submitted_at, body)
    failed = isinstance(error, DeadlineExceeded | AttemptsExhausted)
    moment = Moment.FAILED if isinstance(error, AttemptsExhausted) else Moment.REFUSED
    origin = Origin.of(runtime)
    at: dict[str, Any] = {"attempt": lease.attempt, "at": now}
    lora = [lora_load_failed(about, origin, error, **at)] if isinstance(error, LoraError) else []
    end = ended(about, origin, moment, error=error_info(error), cost_usd=lease.spent.usd, **at)
    return job_result(
        about,
        lease,
        body,
        Status.FAILED if failed else Status.REJECTED,
        settings=runtime.settings,
        now=now,
        events=(*requested(about, origin), *lease.events, *lora, end),
        error=error,
    )

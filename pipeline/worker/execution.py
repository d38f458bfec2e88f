"""One execution of a job on a worker: fenced start, pictures, outputs, and how it ends.

start (fence) ─ render under the heartbeat ─ commit ─ deliver: metrics.json, events, callback
                    └ an error that may pass, attempts left: hand the lease back for a retry
                    └ a sheet whose worker others wait for: hand it back, and no failure
                    └ lease lost: write nothing more
                    └ an operator stops jobs like it: hand it back, and no failure
  └ no route of this worker's runs the job, or an operator has stopped it: hand the lease back
"""

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum

import structlog

from config.errors import (
    ComfyDiskFull,
    InvalidSetting,
    RylaError,
    Stopped,
    Superseded,
)
from pipeline.contract.error_info import error_info, unforeseen
from pipeline.contract.keys import lease_key, manifest_key, result_key
from pipeline.contract.lease import Lease, Spent
from pipeline.contract.result import Result
from pipeline.costs import usd_per_second
from pipeline.notify.metrics_file import write_metrics
from pipeline.queue.expiry import backoff
from pipeline.queue.protocol import Started
from pipeline.queue.runner import run
from pipeline.queue.spawn import SpawnPayload
from pipeline.queue.start_steps import Execution, Start
from pipeline.queue.stops import read_stops, stopped
from pipeline.sheets.cells import SHEET
from pipeline.store.conditional import SafeStore, Won
from pipeline.worker.cold_start import WARM, ColdStart
from pipeline.worker.context import RenderState, WorkerContext
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.render import render_job
from pipeline.worker.result_builder import ResultBuilder, why_ended
from pipeline.worker.retry import Halt, MakeRoom, Preempted, Retry, decide_next, route_of
from pipeline.worker.sheet_end import end_sheet


class Ending(StrEnum):
    """How an execution ended; the lease and the result tell the rest."""

    COMMITTED = "committed"
    """Its result stands, whatever it says."""
    RETRY = "retry"
    """Handed back for another attempt."""
    YIELDED = "yielded"
    """Between two steps, for other jobs; the sheet goes on in another execution."""
    HALTED = "halted"
    """An operator stops jobs like it. It waits until that is lifted; no attempt is counted."""
    STALE = "stale"
    """The lease had moved on, or was lost on the way."""
    PREEMPTED = "preempted"
    """The machine is being taken away. The lease is kept: the platform runs the same input again,
    whose start finds it and goes on as the next attempt."""


def execute(
    payload: SpawnPayload,
    context: WorkerContext,
    *,
    call_id: str | None,
    cold: ColdStart = WARM,
    on_start: Callable[[], None] = lambda: None,
) -> Ending:
    """Run one spawned job. `cold` is the start-up that this job waited for, and pays for from
    `on_start` on, however it ends. `call_id` is the platform's name of this execution.

    Raises a StoreError where the bucket cannot be read or written: the lease then lapses and the
    job is taken over. What goes wrong with the job itself is its result, or its retry.
    """
    if context.preempted.is_set():
        return Ending.PREEMPTED
    try:
        started = _begin(payload, context, call_id, cold)
    except (InvalidSetting, Stopped) as error:
        return _not_begun(payload, context, error)
    if started is None:
        return Ending.STALE
    on_start()
    return _run_started(payload, context, started, cold)


def _run_started(
    payload: SpawnPayload, context: WorkerContext, started: Started, cold: ColdStart
) -> Ending:
    began, lease, settings = context.monotonic(), started.lease, context.runtime.settings
    body, state = _manifest(payload, context.store), RenderState()
    with Heartbeat(
        context.store,
        lease,
        started.etag,
        settings,
        monotonic=context.monotonic,
        on_renewal=context.on_renewal,
    ) as heart:
        error = _try_to_render(state, lease, body, context, heart)
        if isinstance(error, ComfyDiskFull):
            context.server.broken = True  # the next attempt goes elsewhere
        if heart.lost:
            return Ending.STALE
        going_on = decide_next(error, lease, payload, context, state.stop, heart.halted)
        if going_on is None and payload.model == SHEET:
            _try_to_end_sheet(state, error, lease, context, heart, began - cold.seconds)
        total_s, preload = context.monotonic() - began, context.preload()
        builder = ResultBuilder(
            payload,
            lease,
            body,
            state,
            context.runtime,
            context.comfy,
            context.gpu,
            total_s,
            cold,
            preload,
        )
        result = _commit(builder, error, context.store, heart) if going_on is None else None
    lease, etag = heart.held
    if going_on is not None:
        return _leave(builder, going_on, lease, etag, context)
    if result is None:
        return Ending.STALE
    context.delivery.deliver(result, lease, etag)
    return Ending.COMMITTED


def _try_to_render(
    state: RenderState, lease: Lease, body: bytes, context: WorkerContext, heart: Heartbeat
) -> RylaError | None:
    try:
        render_job(state, lease, body, context, heart)
    except RylaError as error:
        return error
    except Exception as error:  # noqa: BLE001  the process's edge: a bug fails one job only
        structlog.get_logger(__name__).exception("execution_broke", job=lease.id)
        return unforeseen(error)
    return None


def _claimed(payload: SpawnPayload, store: SafeStore) -> Lease | None:
    """The lease that the job was spawned with; None where another claim has taken its place."""
    if payload.lease is not None:
        return payload.lease
    stored = store.get(lease_key(payload.id))
    claimed = Lease.parse(stored.body) if stored else None
    if claimed is None or claimed.claim != payload.claim:
        return None
    # A bare claim lacks both.
    tenant = payload.tenant or claimed.tenant
    return claimed.model_copy(update={"model": payload.model, "tenant": tenant})


def _try_to_end_sheet(
    state: RenderState,
    error: RylaError | None,
    lease: Lease,
    context: WorkerContext,
    heart: Heartbeat,
    paid_from: float,
) -> None:
    """What goes wrong here costs the files of a sheet, and none of its views."""
    why = why_ended(error, state.stop)
    try:
        end_sheet(state, why, lease, context, heart, context.monotonic() - paid_from)
    except RylaError as problem:
        structlog.get_logger(__name__).warning(
            "sheet_not_read", job=lease.id, error=problem.message
        )
    except Exception:  # noqa: BLE001  the process's edge, as above
        structlog.get_logger(__name__).exception("sheet_not_told", job=lease.id)


def _begin(
    payload: SpawnPayload, context: WorkerContext, call_id: str | None, cold: ColdStart = WARM
) -> Started | None:
    """Raises InvalidSetting where no route of this worker's runs the job, Stopped where an operator
    has stopped it since the tick that claimed it looked."""
    claimed = _claimed(payload, context.store)
    if claimed is None:
        return None
    scope = read_stops(context.store).over(claimed.tenant, payload.model)
    if scope is not None:
        raise stopped(scope)
    route = route_of(payload, context)
    execution = Execution(
        nonce=context.nonce(),
        owner=context.owner,
        call_id=call_id,
        ttl_s=context.runtime.settings.running_seconds,
        rate_usd_per_s=usd_per_second(context.gpu, route, context.runtime.gpus),
        now=context.store.now(),
        max_failures=context.runtime.settings.max_attempts,
        cold_s=cold.seconds,
    )
    end = run(Start(execution, claimed, payload.etag), context.store)
    return end if isinstance(end, Started) else None


def _not_begun(
    payload: SpawnPayload, context: WorkerContext, error: InvalidSetting | Stopped
) -> Ending:
    """A worker of another version than the dispatcher's may lack the job's route, or the job is
    stopped. That is no failure of the job: it is handed back, and does not wait for its lease to
    lapse."""
    claimed = _claimed(payload, context.store)
    if claimed is None:
        return Ending.STALE
    growing = backoff(context.runtime.settings)
    pause = timedelta(seconds=growing.jittered_s(claimed.attempt, context.jitter()))
    if isinstance(error, Stopped):
        pause = timedelta()  # it waits for the lift alone
    free = claimed.waiting(not_before=context.store.now() + pause, error=error_info(error))
    outcome = context.store.replace(lease_key(payload.id), free.body(), payload.etag)
    structlog.get_logger(__name__).warning("not_begun", job=payload.id, error=error.message)
    return Ending.RETRY if isinstance(outcome, Won) else Ending.STALE


def _manifest(payload: SpawnPayload, store: SafeStore) -> bytes:
    if payload.manifest is not None:
        return payload.manifest.encode()
    stored = store.get(manifest_key(payload.id))
    return b"" if stored is None else stored.body


def _commit(
    builder: ResultBuilder, error: RylaError | None, store: SafeStore, heart: Heartbeat
) -> Result | None:
    """The one write that ends the job, or None for whoever loses it: he writes nothing more."""
    try:
        result = builder.result(error, store.now())
        outcome = heart.insist(lambda: store.create(result_key(result.id), result.body()))
    except Superseded:
        return None
    return result if isinstance(outcome, Won) else None


def _leave(
    builder: ResultBuilder,
    going_on: Preempted | Retry | MakeRoom | Halt,
    lease: Lease,
    etag: str,
    context: WorkerContext,
) -> Ending:
    """The execution ends without a commit; what it owes goes on in the lease."""
    if not isinstance(going_on, Preempted):
        write_metrics(context.store, lease.id, lease.attempt, builder.metrics)
    events = (*lease.events, *builder.state.events)
    if isinstance(going_on, Retry):
        _hand_back(builder, going_on, lease.model_copy(update={"events": events}), etag, context)
        return Ending.RETRY
    now = context.store.now()
    if isinstance(going_on, MakeRoom):
        yielded = lease.yielded(now, events=events, spent=_spent(builder, lease))
        context.store.replace(lease_key(lease.id), yielded.body(), etag)
        return Ending.YIELDED
    if isinstance(going_on, Halt):
        halted = lease.waiting(
            not_before=now,
            events=events,
            spent=_spent(builder, lease),
            started_at=None,
            error=error_info(going_on.why),
        )
        context.store.replace(lease_key(lease.id), halted.body(), etag)
        structlog.get_logger(__name__).warning("halted", job=lease.id, why=going_on.why.message)
        return Ending.HALTED
    stopped = lease.stopped_in_good_order(events=events)
    context.store.replace(lease_key(lease.id), stopped.body(), etag)
    return Ending.PREEMPTED


def _spent(builder: ResultBuilder, lease: Lease) -> Spent:
    cost = builder.cost
    return lease.spent.model_copy(update={"usd": cost.total_usd, "upper_bound": cost.upper_bound})


def _hand_back(
    builder: ResultBuilder, retried: Retry, lease: Lease, etag: str, context: WorkerContext
) -> None:
    error, now = retried.error, context.store.now()
    lease = (
        lease.with_(failures=lease.failures + 1)
        if retried.failed
        else lease.stopped_in_good_order()
    )
    growing = backoff(context.runtime.settings)
    pause = growing.jittered_s(lease.failures, context.jitter()) if retried.failed else 0.0
    waiting = lease.waiting(
        not_before=now + timedelta(seconds=pause),
        error=error_info(error),
        spent=_spent(builder, lease),
        started_at=None,
        gpu=retried.gpu,
    )
    context.store.replace(lease_key(lease.id), waiting.body(), etag)
    structlog.get_logger(__name__).warning(
        "retry",
        job=lease.id,
        attempt=lease.attempt,
        code=error.code,
        gpu=retried.gpu,
        pause_s=round(pause, 1),
    )

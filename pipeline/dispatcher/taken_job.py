"""A job that a tick takes, from its claim or take-over to what follows its end."""

from datetime import timedelta

import structlog

from config.errors import EngineUnavailable, RylaError
from pipeline.contract.error_info import error_info
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease
from pipeline.contract.result import Result, Status
from pipeline.contract.summary import subject
from pipeline.dispatcher.deploy_event import newer_is_deployed
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.gate import Gate
from pipeline.dispatcher.preflight import preflight
from pipeline.dispatcher.route_platforms import route_platforms
from pipeline.notify.job_events import Origin, requested
from pipeline.queue.claim_steps import Claim, TakeOver
from pipeline.queue.expiry import backoff
from pipeline.queue.platforms import goes_elsewhere, refused
from pipeline.queue.protocol import (
    Committed,
    End,
    Finished,
    Preflight,
    RejectConflict,
    Spawn,
    Spawned,
)
from pipeline.queue.runner import run
from pipeline.queue.spawn import SpawnPayload
from pipeline.sheets.cells import read_sheet


def take(d: Dispatcher, step: Claim | TakeOver, gate: Gate) -> End | None:
    """Take one job through to its end. Its failure touches no other job: its lease lapses."""
    performers = {
        Preflight: lambda ask: _preflight(d, ask, gate),
        Spawn: lambda spawn: _spawn(d, spawn, step),
        RejectConflict: lambda conflict: d.rejector.conflict(conflict.key, conflict.body),
    }
    log = structlog.get_logger(__name__).bind(job=step.task.lease.id)
    try:
        end = run(step, d.store, performers)
        _after(d, end)
    except RylaError as error:
        log.warning("not_taken", code=error.code, error=error.message)
        return None
    except Exception:  # a poison job must not stop the others; its attempts are counted
        log.exception("not_taken")
        return None
    log.debug("taken", end=type(end).__name__)
    return end


def _preflight(d: Dispatcher, ask: Preflight, gate: Gate) -> SpawnPayload | Result | Lease:
    version = d.runtime.settings.app_version
    return preflight(
        ask,
        d.runtime,
        d.store.now(),
        d.input_checker.check,
        lambda: newer_is_deployed(d.store, version),
        lambda id: read_sheet(d.store, id),
        d.end_files.write,
        gate.why_waits,
    )


def _spawn(d: Dispatcher, spawn: Spawn, step: Claim | TakeOver) -> Lease | None:
    """None, or the lease to hand back: an engine's outage is no failure of the job."""
    route = d.runtime.route_of(spawn.payload.model)
    given_up = d.memory.calls.take(step.unstarted) if isinstance(step, TakeOver) else None
    if given_up is not None:  # only now that the take-over is won
        d.engine.cancel(given_up)
    try:
        if route is None:
            raise EngineUnavailable(f"no route runs {spawn.payload.model} any more")
        d.memory.calls.note(spawn.payload.claim, d.engine.submit(route, spawn.payload))
    except EngineUnavailable as error:
        return _not_spawned(d, _as_spawned(spawn.payload, spawn.lease), route, error)
    return None


def _not_spawned(d: Dispatcher, lease: Lease, route: str | None, error: EngineUnavailable) -> Lease:
    """Due at once where another platform of the route may take it."""
    now = d.store.now()
    lease = lease.model_copy(update={"outages": refused(lease, now)})
    platforms = None if route is None else d.runtime.routes.route(route)
    if platforms is not None and goes_elsewhere(
        route_platforms(platforms, d.platforms, d.runtime), lease, now
    ):
        return lease.waiting(not_before=now, error=error_info(error))
    pause = backoff(d.runtime.settings).jittered_s(lease.attempt, d.jitter())
    return lease.waiting(not_before=now + timedelta(seconds=pause), error=error_info(error))


def _as_spawned(payload: SpawnPayload, lease: Lease) -> Lease:
    """The lease with what its job's body said. A payload carries it, unless it is too large."""
    return payload.lease or lease.model_copy(update={"model": payload.model})


def _after(d: Dispatcher, end: End) -> None:
    match end:
        case Spawned(payload, lease, body):
            d.memory.lease_cache.note(payload.id, payload.etag, _as_spawned(payload, lease))
            about = subject(payload.id, lease.entry, lease.submitted_at, body)
            d.sender.best_effort(requested(about, Origin.of(d.runtime)))
        case Committed(result, lease, etag) if lease is not None:
            d.delivery.deliver(result, lease, etag)
        case Finished(stored, lease, etag, first_claim):
            there = Result.parse(stored.body)
            # A duplicate submission owes nothing, nor does a forgotten job. A cancel may have found
            # no lease to leave its events with.
            forgotten = there is not None and there.status is Status.FORGOTTEN
            if there is None:
                d.delivery.unreadable(lease, etag)
            elif forgotten or (first_claim and there.status is not Status.CANCELLED):
                d.store.delete(lease_key(lease.id))
            else:
                d.delivery.deliver(there, lease, etag)

"""One execution of a job on a worker: fenced start, pictures, outputs, and how it ends.

start (fence) ─ make pictures under the heartbeat ─ metrics.json ─ commit ─ settle
                    └ an error that may pass, attempts left: hand the lease back for a retry
                    └ lease lost: write nothing more
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import structlog

from config.errors import OutOfMemory, RylaError, StoreDenied, StoreUnavailable, Superseded
from config.tables import Route
from pipeline import costs
from pipeline.contract.errors import error_info, unforeseen
from pipeline.contract.keys import attempt_folder, lease_key, manifest_key, result_key
from pipeline.contract.lease import Lease, Spent
from pipeline.contract.result import Result
from pipeline.queue.expiry import backoff
from pipeline.queue.protocol import Started
from pipeline.queue.runner import run
from pipeline.queue.spawn import Ref
from pipeline.queue.start_steps import Execution, Start
from pipeline.store.conditional import SafeStore, Won
from pipeline.worker.cold_start import WARM, ColdStart
from pipeline.worker.context import Made, Workshop
from pipeline.worker.gpu import next_gpu
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.outcome import Story
from pipeline.worker.render import make


class Ending(StrEnum):
    """How an execution ended; the lease and the result tell the rest."""

    COMMITTED = "committed"
    RETRY = "retry"
    STALE = "stale"
    """The lease had moved on, or was lost on the way."""
    PREEMPTED = "preempted"
    """The machine is being taken away. The lease is kept: the platform runs the same input again,
    whose start finds it and goes on as the next attempt."""


def execute(
    ref: Ref,
    shop: Workshop,
    *,
    call_id: str | None,
    cold: ColdStart = WARM,
    on_start: Callable[[], None] = lambda: None,
) -> Ending:
    """Run one spawned job. `cold` is the start-up that this job waited for, and pays for from
    `on_start` on, however it ends."""
    if shop.preempted.is_set():
        return Ending.PREEMPTED
    started = _begin(ref, shop, call_id, cold)
    if started is None:
        return Ending.STALE
    on_start()
    return _go_through(ref, shop, started, cold)


def _go_through(ref: Ref, shop: Workshop, started: Started, cold: ColdStart) -> Ending:
    began, lease, settings = shop.monotonic(), started.lease, shop.bench.settings
    body, made = _manifest(ref, shop.store), Made()
    with Heartbeat(shop.store, lease, started.etag, settings, monotonic=shop.monotonic) as heart:
        error = _try_to_make(made, lease, body, shop, heart)
        if heart.lost:
            return Ending.STALE
        total_s, ahead = shop.monotonic() - began, shop.ahead()
        story = Story(
            ref, lease, body, made, shop.bench, shop.machine, shop.gpu, total_s, cold, ahead
        )
        going_on = _going_on(error, lease, ref, shop)
        if not isinstance(going_on, Kept):
            _write_metrics(story, shop)
        result = _commit(story, error, shop.store, heart) if going_on is None else None
    lease, etag = heart.held
    if going_on is not None:
        return _leave(story, going_on, lease, etag, shop)
    if result is None:
        return Ending.STALE
    shop.settler.settle(result, lease, etag)
    return Ending.COMMITTED


@dataclass(frozen=True)
class Kept:
    """The platform takes the machine, and runs the same input again."""


@dataclass(frozen=True)
class Retried:
    """The job is handed back for another attempt."""

    error: RylaError
    gpu: str | None
    """That it must then have; None leaves it to the route."""


def _going_on(
    error: RylaError | None, lease: Lease, ref: Ref, shop: Workshop
) -> Kept | Retried | None:
    """How a job goes on that this execution does not end; None when it ends here."""
    if error is None or not error.retryable:
        return None
    if shop.preempted.is_set():
        return Kept()
    if lease.attempt >= shop.bench.settings.max_attempts:
        return None
    if isinstance(error, OutOfMemory) and shop.bench.deployed:
        larger = next_gpu(_route(ref, shop), shop.gpu, shop.bench.gpus)
        return None if larger is None else Retried(error, larger)
    return Retried(error, lease.gpu)


def _try_to_make(
    made: Made, lease: Lease, body: bytes, shop: Workshop, heart: Heartbeat
) -> RylaError | None:
    try:
        make(made, lease, body, shop, heart)
    except RylaError as error:
        return error
    except Exception as error:  # noqa: BLE001  the process's edge: a bug fails one job only
        structlog.get_logger(__name__).exception("execution_broke", job=lease.id)
        return unforeseen(error)
    return None


def _begin(ref: Ref, shop: Workshop, call_id: str | None, cold: ColdStart = WARM) -> Started | None:
    claimed, etag = ref.lease, ref.etag
    if claimed is None:
        stored = shop.store.get(lease_key(ref.id))
        claimed = Lease.parse(stored.body) if stored else None
        if claimed is None or claimed.claim != ref.claim:
            return None
    route = _route(ref, shop)
    second = costs.cost(
        shop.gpu, 1.0, cpu_cores=route.cpu_cores, memory_gib=route.memory_gib, table=shop.bench.gpus
    )
    execution = Execution(
        nonce=shop.nonce(),
        owner=shop.owner,
        call_id=call_id,
        ttl_s=shop.bench.settings.running_seconds,
        rate_usd_per_s=second.total_usd,
        now=shop.store.now(),
        max_attempts=shop.bench.settings.max_attempts,
        cold_s=cold.seconds,
    )
    end = run(Start(execution, claimed, etag), shop.store)
    return end if isinstance(end, Started) else None


def _route(ref: Ref, shop: Workshop) -> Route:
    return shop.bench.routes.route(shop.bench.route_of(ref.model) or "")


def _manifest(ref: Ref, store: SafeStore) -> bytes:
    if ref.manifest is not None:
        return ref.manifest.encode()
    stored = store.get(manifest_key(ref.id))
    return b"" if stored is None else stored.body


def _write_metrics(story: Story, shop: Workshop) -> None:
    """Beside the outputs of this execution. The result has them too, so a failure is no matter."""
    key = attempt_folder(story.lease.id, story.lease.attempt) + "metrics.json"
    try:
        shop.store.write(key, story.metrics.model_dump_json(indent=1).encode(), "application/json")
    except (StoreUnavailable, StoreDenied) as error:
        structlog.get_logger(__name__).warning("metrics_not_written", key=key, error=error.message)


def _commit(
    story: Story, error: RylaError | None, store: SafeStore, heart: Heartbeat
) -> Result | None:
    """The one write that ends the job, or None for whoever loses it: he writes nothing more."""
    now = store.now()
    result = story.succeeded(now) if error is None else story.failed(error, now)
    try:
        outcome = heart.insist(lambda: store.create(result_key(result.id), result.body()))
    except Superseded:
        return None
    return result if isinstance(outcome, Won) else None


def _leave(
    story: Story, going_on: Kept | Retried, lease: Lease, etag: str, shop: Workshop
) -> Ending:
    """The execution ends without a commit; what it owes goes on in the lease."""
    events = (*lease.events, *story.made.events)
    if isinstance(going_on, Retried):
        _hand_back(story, going_on, lease.model_copy(update={"events": events}), etag, shop)
        return Ending.RETRY
    if story.made.events:
        shop.store.replace(lease_key(lease.id), lease.with_(events=events).body(), etag)
    return Ending.PREEMPTED


def _hand_back(story: Story, retried: Retried, lease: Lease, etag: str, shop: Workshop) -> None:
    settings, error = shop.bench.settings, retried.error
    now = shop.store.now()
    pause = backoff(
        lease.attempt, settings.backoff_base_seconds, settings.backoff_cap_seconds, shop.jitter()
    )
    waiting = lease.waiting(
        not_before=now + timedelta(seconds=pause),
        error=error_info(error),
        spent=Spent(usd=story.cost.total_usd, upper_bound=story.cost.upper_bound),
        started_at=None,
        gpu=retried.gpu,
    )
    shop.store.replace(lease_key(lease.id), waiting.body(), etag)
    structlog.get_logger(__name__).warning(
        "retry",
        job=lease.id,
        attempt=lease.attempt,
        code=error.code,
        gpu=retried.gpu,
        pause_s=round(pause, 1),
    )

"""Keeps a picture that a handler made: into the bucket, and what it took into the state."""

import time

from config.errors import Superseded
from handlers.kinds.base import Rendered
from pipeline.contract.lease import Lease
from pipeline.contract.result import Output
from pipeline.contract.summary import subject
from pipeline.notify.job_events import Origin, model_loaded
from pipeline.worker.context import RenderState, WorkerContext
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.outputs import store


def keep_picture(
    state: RenderState,
    rendered: Rendered,
    lease: Lease,
    body: bytes,
    context: WorkerContext,
    heart: Heartbeat,
) -> Output:
    """Raises OutputInvalid, or Superseded when the lease is lost meanwhile."""
    note_picture(state, rendered, lease, body, context)
    return store_picture(state, rendered, lease, context, heart)


def note_picture(
    state: RenderState, rendered: Rendered, lease: Lease, body: bytes, context: WorkerContext
) -> None:
    """What it took, which was paid for, whatever becomes of the picture."""
    state.timings += rendered.timings
    state.graphs += [*rendered.parent_graphs, rendered.graph_sha256]
    state.models.update(rendered.weights)
    if context.loads is not None:
        about = subject(lease.id, lease.entry, lease.submitted_at, body)
        origin, at = Origin.of(context.runtime, context.comfy), context.store.now()
        for model in context.loads.first(rendered.weights, rendered.timings.load):
            state.events.append(model_loaded(about, origin, model, attempt=lease.attempt, at=at))


def store_picture(
    state: RenderState,
    rendered: Rendered,
    lease: Lease,
    context: WorkerContext,
    heart: Heartbeat,
) -> Output:
    """Raises OutputInvalid, or Superseded when the lease is lost."""
    if heart.lost:
        raise Superseded("the lease was lost before a picture was stored")
    began = time.monotonic()
    stored = store(rendered, lease, context.store, heart)
    state.upload_s += time.monotonic() - began
    return stored

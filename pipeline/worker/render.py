"""Makes the pictures of a job and stores them under the attempt's folder."""

import math
import time
from dataclasses import replace

from config.errors import DeadlineExceeded, LoraError, ManifestNotJson
from handlers.kinds.base import Rendered
from handlers.kinds.registry import KINDS
from handlers.kinds.requirements import Supplies
from pipeline.contract.lease import Lease
from pipeline.contract.manifest import Manifest, deadline_passed, parse_manifest
from pipeline.contract.result import UsedLora
from pipeline.contract.summary import subject
from pipeline.inputs.supplies import job_request, required_inputs, supplies
from pipeline.notify.job_events import (
    LoadedLora,
    Origin,
    face_measured,
    lora_load_failed,
    lora_loaded,
    model_loaded,
)
from pipeline.worker.comfyui import ComfyGraphRunner
from pipeline.worker.context import RenderState, WorkerContext
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.outputs import store


def render_job(
    state: RenderState, lease: Lease, body: bytes, context: WorkerContext, heart: Heartbeat
) -> None:
    """Fills `state`, picture by picture.

    Raises from the error tree; Superseded or PromptInterrupted once the lease is lost.
    """
    if not body:
        raise ManifestNotJson("the manifest is gone from the bucket")
    manifest = state.manifest = parse_manifest(body)
    if deadline_passed(manifest, context.store.now()):
        raise DeadlineExceeded(
            f"the deadline {manifest.deadline} passed before a worker started",
            field="deadline",
            value=str(manifest.deadline),
        )
    context.server.ensure_running()
    kind = KINDS[manifest.model]
    order = job_request(
        lease.id, lease.attempt, manifest, _supply(state, manifest, lease, body, context)
    )
    state.seed = order.seed
    runner = ComfyGraphRunner(
        context.server.client,
        context.faces,
        report=heart.report,
        should_stop=lambda: heart.lost or context.must_stop(),
        until=time.monotonic() + context.runtime.settings.job_timeout_seconds,
        paid_until=time.monotonic() + _paid_seconds(manifest, lease),
        residency=context.residency,
        attention=context.server.attention,
    )
    state.own_nodes = runner.attention is not None
    try:
        for rendered in kind.run(order, context.runtime.models, runner):
            _take(state, rendered, lease, body, context, heart)
    finally:
        state.evicted += runner.evicted
        context.server.clear(lease.id, runner.uploads)


def _take(
    state: RenderState,
    rendered: Rendered,
    lease: Lease,
    body: bytes,
    context: WorkerContext,
    heart: Heartbeat,
) -> None:
    """Store one picture, and note what it took."""
    state.timings += rendered.timings
    state.graphs += [*rendered.parent_graphs, rendered.graph_sha256]
    state.models.update(rendered.weights)
    about = subject(lease.id, lease.entry, lease.submitted_at, body)
    origin, at = Origin.of(context.runtime, context.comfy), context.store.now()
    if context.loads is not None:
        for model in context.loads.first(rendered.weights, rendered.timings.load):
            state.events.append(model_loaded(about, origin, model, attempt=lease.attempt, at=at))
    began = time.monotonic()
    state.outputs.append(store(rendered, lease, context.store, heart))
    state.upload_s += time.monotonic() - began
    if rendered.face is not None:
        state.events += face_measured(
            about,
            origin,
            rendered.face,
            output=len(state.outputs) - 1,
            attempt=lease.attempt,
            at=context.store.now(),
        )


def _paid_seconds(manifest: Manifest, lease: Lease) -> float:
    """How long this worker may run for what is left of the job's budget."""
    if manifest.max_cost_usd is None or lease.rate_usd_per_s == 0:
        return math.inf
    return (manifest.max_cost_usd - lease.spent.usd) / lease.rate_usd_per_s


def _supply(
    state: RenderState, manifest: Manifest, lease: Lease, body: bytes, context: WorkerContext
) -> Supplies:
    """What the job needs from the bucket, with the events that tell of it.

    Raises a LoraError or InvalidInput.
    """
    wanted = required_inputs(manifest, context.runtime)
    given = Supplies(images=context.input_fetcher.fetch_images(wanted.images))
    request = wanted.lora
    if request is None:
        return given
    about = subject(lease.id, lease.entry, lease.submitted_at, body)
    origin = Origin.of(context.runtime, context.comfy)
    try:
        checked, kept = context.input_fetcher.fetch_lora(request)
    except LoraError as error:
        failed = lora_load_failed(
            about, origin, error, attempt=lease.attempt, at=context.store.now()
        )
        state.events.append(failed)
        raise
    state.lora = UsedLora(key=checked.found.key, sha256=kept.sha256)
    loaded = LoadedLora(
        key=checked.found.key,
        sha256=kept.sha256,
        bytes=kept.bytes,
        seconds=kept.seconds,
        downloaded=kept.downloaded,
        attempt=lease.attempt,
    )
    state.events.append(lora_loaded(about, origin, loaded, context.store.now()))
    return replace(given, lora=supplies(checked, kept).lora)

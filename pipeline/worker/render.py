"""Makes the pictures of a job and stores them under the attempt's folder."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from config.errors import DeadlineExceeded, LoraError, ManifestNotJson
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.sheet_plan import SheetPlan
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
)
from pipeline.sheets.cells import read_plan
from pipeline.worker.comfyui import ComfyGraphRunner
from pipeline.worker.context import RenderState, WorkerContext
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.pictures import note_picture, store_picture
from pipeline.worker.sheet import ref_of, render_sheet
from pipeline.worker.uploads import Uploads
from workflows.step_cache import steps_of, threshold_of


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
    is_sheet = isinstance(manifest.input, CharacterSheetInput)
    plan = read_plan(context.store, lease.id) if is_sheet and lease.attempt > 1 else None
    order = job_request(
        lease.id, lease.attempt, manifest, _supply(state, manifest, lease, body, context, plan)
    )
    state.seed = order.seed
    runner = ComfyGraphRunner(
        context.server.client,
        context.faces,
        report=heart.report,
        should_stop=lambda: (
            heart.lost or context.must_stop() or (heart.halted is not None and not is_sheet)
        ),
        until=context.monotonic() + context.runtime.settings.job_timeout_seconds,
        paid_until=context.monotonic() + _paid_seconds(manifest, lease),
        residency=context.residency,
        attention=context.server.attention,
        speed=context.speed,
        monotonic=context.monotonic,
    )
    state.own_nodes = runner.attention is not None
    try:
        if is_sheet:
            render_sheet(state, order, lease, body, context, heart, runner)
        else:
            pictures = kind.run(order, context.runtime.models, runner)
            _take_all(state, pictures, lease, body, context, heart)
    finally:
        runner.close()
        state.evicted += runner.evicted
        state.sampled = dict(runner.sampled)
        state.steps = sum(map(steps_of, runner.given))
        state.step_cache = max(map(threshold_of, runner.given), default=0.0)
        context.server.clear(lease.id, runner.uploads)


def _take_all(
    state: RenderState,
    pictures: Iterator[Rendered],
    lease: Lease,
    body: bytes,
    context: WorkerContext,
    heart: Heartbeat,
) -> None:
    """Store the pictures of the job in their order, each while the next one is made, and tell of
    their faces."""
    with Uploads() as uploads:
        for number, rendered in enumerate(pictures):
            note_picture(state, rendered, lease, body, context)
            uploads.put(partial(_store, state, rendered, lease, context, heart))
            if rendered.face is not None:
                state.events += face_measured(
                    subject(lease.id, lease.entry, lease.submitted_at, body),
                    Origin.of(context.runtime, context.comfy),
                    rendered.face,
                    output=number,
                    attempt=lease.attempt,
                    at=context.store.now(),
                )


def _store(
    state: RenderState, rendered: Rendered, lease: Lease, context: WorkerContext, heart: Heartbeat
) -> None:
    state.outputs.append(store_picture(state, rendered, lease, context, heart))


def _paid_seconds(manifest: Manifest, lease: Lease) -> float:
    """How long this worker may run for what is left of the job's budget."""
    if manifest.max_cost_usd is None or lease.rate_usd_per_s == 0:
        return math.inf
    return (manifest.max_cost_usd - lease.spent.usd) / lease.rate_usd_per_s


def _supply(
    state: RenderState,
    manifest: Manifest,
    lease: Lease,
    body: bytes,
    context: WorkerContext,
    plan: SheetPlan | None,
) -> Supplies:
    """What the job needs from the bucket, with the events that tell of it. The plan of a sheet
    binds it to the LoRA that it was begun with.

    Raises a LoraError or InvalidInput.
    """
    wanted = required_inputs(manifest, context.runtime)
    given = Supplies(images=context.input_fetcher.fetch_images(wanted.images))
    request = wanted.lora
    if request is not None and plan is not None and plan.lora is not None:
        request = replace(request, ref=ref_of(plan.lora.key, context.runtime.settings.lora_prefix))
    if request is None:
        return given
    about = subject(lease.id, lease.entry, lease.submitted_at, body)
    origin = Origin.of(context.runtime, context.comfy)
    try:
        checked, kept = context.input_fetcher.fetch_lora(request, manifest.tenant)
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

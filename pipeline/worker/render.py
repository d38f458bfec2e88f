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
from pipeline.inputs.supplies import brief, needs, supplies
from pipeline.notify.job_events import (
    LoadedLora,
    Origin,
    face_measured,
    lora_load_failed,
    lora_loaded,
    model_loaded,
)
from pipeline.worker.comfyui import ComfyStudio
from pipeline.worker.context import Made, Workshop
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.outputs import store


def make(made: Made, lease: Lease, body: bytes, shop: Workshop, heart: Heartbeat) -> None:
    """Fills `made`. Raises from the error tree."""
    if not body:
        raise ManifestNotJson("the manifest is gone from the bucket")
    manifest = made.manifest = parse_manifest(body)
    if deadline_passed(manifest, shop.store.now()):
        raise DeadlineExceeded(
            f"the deadline {manifest.deadline} passed before a worker started",
            field="deadline",
            value=str(manifest.deadline),
        )
    shop.server.ensure_running()
    kind = KINDS[manifest.model]
    order = brief(lease.id, lease.attempt, manifest, _supply(made, manifest, lease, body, shop))
    made.seed = order.seed
    studio = ComfyStudio(
        shop.server.client,
        shop.faces,
        report=heart.report,
        should_stop=lambda: heart.lost or shop.must_stop(),
        until=time.monotonic() + shop.bench.settings.job_timeout_seconds,
        paid_until=time.monotonic() + _paid_seconds(manifest, lease),
    )
    try:
        for rendered in kind.run(order, shop.bench.models, studio):
            _take(made, rendered, lease, body, shop, heart)
    finally:
        shop.server.clear(lease.id, studio.uploads)


def _take(
    made: Made,
    rendered: Rendered,
    lease: Lease,
    body: bytes,
    shop: Workshop,
    heart: Heartbeat,
) -> None:
    """Store one picture, and note what it took."""
    made.timings += rendered.timings
    made.graphs += [*rendered.led_to_it, rendered.graph_sha256]
    made.models.update(rendered.weights)
    about = subject(lease.id, lease.entry, lease.submitted_at, body)
    origin, at = Origin.of(shop.bench, shop.machine), shop.store.now()
    if shop.loads is not None:
        for model in shop.loads.first(rendered.weights, rendered.timings.load):
            made.events.append(model_loaded(about, origin, model, attempt=lease.attempt, at=at))
    began = time.monotonic()
    made.outputs.append(store(rendered, lease, shop.store, heart))
    made.upload_s += time.monotonic() - began
    if rendered.face is not None:
        made.events += face_measured(
            about,
            origin,
            rendered.face,
            output=len(made.outputs) - 1,
            attempt=lease.attempt,
            at=shop.store.now(),
        )


def _paid_seconds(manifest: Manifest, lease: Lease) -> float:
    """How long this worker may run for what is left of the job's budget."""
    if manifest.max_cost_usd is None or lease.rate_usd_per_s == 0:
        return math.inf
    return (manifest.max_cost_usd - lease.spent.usd) / lease.rate_usd_per_s


def _supply(made: Made, manifest: Manifest, lease: Lease, body: bytes, shop: Workshop) -> Supplies:
    """What the job needs from the bucket, with the events that tell of it.

    Raises a LoraError or InvalidInput.
    """
    wanted = needs(manifest, shop.bench)
    given = Supplies(pictures=shop.supplier.fetch_pictures(wanted.pictures))
    wish = wanted.lora
    if wish is None:
        return given
    about = subject(lease.id, lease.entry, lease.submitted_at, body)
    origin = Origin.of(shop.bench, shop.machine)
    try:
        examined, kept = shop.supplier.fetch_lora(wish)
    except LoraError as error:
        failed = lora_load_failed(about, origin, error, attempt=lease.attempt, at=shop.store.now())
        made.events.append(failed)
        raise
    made.lora = UsedLora(key=examined.found.key, sha256=kept.sha256)
    loaded = LoadedLora(
        key=examined.found.key,
        sha256=kept.sha256,
        bytes=kept.bytes,
        seconds=kept.seconds,
        downloaded=kept.downloaded,
        attempt=lease.attempt,
    )
    made.events.append(lora_loaded(about, origin, loaded, shop.store.now()))
    return replace(given, lora=supplies(examined, kept).lora)

"""The result of an execution, told from what it did. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from config.errors import BadManifest, RylaError
from config.tables import Gpu
from events.moments import Moment
from events.outbox import StoredEvent
from handlers.comfyui.info import ComfyInfo
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.contract.errors import error_info
from pipeline.contract.lease import Lease
from pipeline.contract.result import JobCost, Metrics, Provenance, Result, Status
from pipeline.contract.summary import Subject, subject
from pipeline.models.preload import PreloadReport
from pipeline.notify.job_events import Origin, completed, ended, requested
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import RuntimeConfig
from pipeline.worker.cold_start import ColdStart
from pipeline.worker.context import RenderState


@dataclass(frozen=True)
class ResultBuilder:
    """All that is known when an execution is over."""

    payload: SpawnPayload
    lease: Lease
    body: bytes
    state: RenderState
    runtime: RuntimeConfig
    comfy: ComfyInfo
    gpu: Gpu
    total_s: float
    cold: ColdStart
    preload: PreloadReport

    @cached_property
    def subject(self) -> Subject:
        lease = self.lease
        return subject(lease.id, lease.entry, lease.submitted_at, self.body)

    @cached_property
    def origin(self) -> Origin:
        return Origin.of(self.runtime, self.comfy)

    @cached_property
    def metrics(self) -> Metrics:
        lease, state = self.lease, self.state
        started = lease.started_at or self.payload.claimed_at
        return Metrics(
            queue=max(0.0, (self.payload.claimed_at - lease.submitted_at).total_seconds()),
            claim=max(0.0, (started - self.payload.claimed_at).total_seconds() - self.cold.seconds),
            start=self.cold.seconds,
            load=state.timings.load,
            encode=state.timings.encode,
            sampling=state.timings.sampling,
            decode=state.timings.decode,
            other=state.timings.other,
            upload=state.upload_s,
            total=self.total_s,
            gpu=self.gpu.name,
            gpu_seconds=self.total_s + self.cold.seconds,
            cold=self.cold.seconds > 0,
            cold_parts=self.cold.parts(state.timings, self.preload),
            estimate_seconds=self._estimate.seconds if self._estimate else None,
        )

    @cached_property
    def cost(self) -> JobCost:
        route = self.runtime.routes.route(self.runtime.route_of(self.payload.model) or "")

        def price(seconds: float) -> float:
            return costs.cost(
                self.gpu,
                seconds,
                cpu_cores=route.cpu_cores,
                memory_gib=route.memory_gib,
                table=self.runtime.gpus,
            ).total_usd

        usd, spent = price(self.total_s + self.cold.seconds), self.lease.spent
        return JobCost(
            usd=usd,
            cold_usd=price(self.cold.seconds),
            total_usd=spent.usd + usd,
            upper_bound=spent.upper_bound,
            estimate_usd=self._estimate.usd if self._estimate else None,
        )

    def succeeded(self, now: datetime) -> Result:
        done = completed(
            self.subject,
            self.origin,
            attempt=self.lease.attempt,
            metrics=self.metrics,
            cost=self.cost,
            outputs=len(self.state.outputs),
            at=now,
        )
        return self._result(Status.SUCCEEDED, now, done)

    def failed(self, error: RylaError, now: datetime) -> Result:
        end = ended(
            self.subject,
            self.origin,
            Moment.FAILED,
            attempt=self.lease.attempt,
            at=now,
            error=error_info(error),
            gpu_type=self.gpu.name,
            duration=self.total_s,
            cost_usd=self.cost.usd,
        )
        result = self._result(Status.FAILED, now, end)
        others = error.others if isinstance(error, BadManifest) else ()
        return result.model_copy(
            update={"error": error_info(error), "also": tuple(map(error_info, others))}
        )

    def _result(self, status: Status, now: datetime, end: StoredEvent) -> Result:
        lease, state, manifest = self.lease, self.state, self.state.manifest
        return Result(
            id=lease.id,
            status=status,
            model=self.payload.model,
            tenant=manifest.tenant if manifest else lease.tenant,
            attempt=lease.attempt,
            nonce=lease.nonce,
            manifest_sha256=hashlib.sha256(self.body).hexdigest(),
            submitted_at=lease.submitted_at,
            finished_at=now,
            seed=state.seed,
            outputs=tuple(state.outputs) if status is Status.SUCCEEDED else (),
            metrics=self.metrics,
            cost=self.cost,
            provenance=self._provenance,
            warnings=tuple(KINDS[manifest.model].warnings(manifest.input)) if manifest else (),
            metadata=manifest.metadata if manifest else {},
            callback_url=manifest.callback_url if manifest else None,
            events=(
                *requested(self.subject, Origin.of(self.runtime)),
                *lease.events,
                *state.events,
                end,
            ),
        )

    @property
    def _provenance(self) -> Provenance:
        return Provenance(
            engine=self.comfy.engine,
            comfyui_version=self.comfy.comfyui_version,
            graph_sha256=tuple(self.state.graphs),
            models=self.state.models if self.comfy.is_comfyui else {},
            model_sets=self.runtime.models.fingerprints(self.state.models),
            lora=self.state.lora,
            app_version=self.runtime.settings.app_version,
        )

    @cached_property
    def _estimate(self) -> costs.Estimate | None:
        """What the job was expected to take on the first GPU of its route."""
        if self.state.manifest is None:
            return None
        kind = KINDS[self.payload.model]
        route = self.runtime.routes.route(kind.route)
        gpu = self.runtime.gpus.gpu(route.gpus[0])
        work = kind.work(self.state.manifest.input)
        return costs.estimate(kind.name, work, gpu, route, self.runtime.gpus)

"""The result of an execution, told from what it did. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from config.errors import BadManifest, RylaError
from config.tables import Gpu
from events.moments import Moment
from events.outbox import StoredEvent
from handlers.comfyui.info import Machine
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.contract.errors import error_info
from pipeline.contract.lease import Lease
from pipeline.contract.result import JobCost, Metrics, Provenance, Result, Status
from pipeline.contract.summary import Subject, subject
from pipeline.models.preload import ReadAhead
from pipeline.notify.job_events import Origin, completed, ended, requested
from pipeline.queue.spawn import Ref
from pipeline.runtime import Bench
from pipeline.worker.cold_start import ColdStart
from pipeline.worker.context import Made


@dataclass(frozen=True)
class Story:
    """All that is known when an execution is over."""

    ref: Ref
    lease: Lease
    body: bytes
    made: Made
    bench: Bench
    machine: Machine
    gpu: Gpu
    total_s: float
    cold: ColdStart
    ahead: ReadAhead

    @cached_property
    def subject(self) -> Subject:
        lease = self.lease
        return subject(lease.id, lease.entry, lease.submitted_at, self.body)

    @cached_property
    def origin(self) -> Origin:
        return Origin.of(self.bench, self.machine)

    @cached_property
    def metrics(self) -> Metrics:
        lease, made = self.lease, self.made
        started = lease.started_at or self.ref.claimed_at
        return Metrics(
            queue=max(0.0, (self.ref.claimed_at - lease.submitted_at).total_seconds()),
            claim=max(0.0, (started - self.ref.claimed_at).total_seconds() - self.cold.seconds),
            start=self.cold.seconds,
            load=made.timings.load,
            encode=made.timings.encode,
            sampling=made.timings.sampling,
            decode=made.timings.decode,
            other=made.timings.other,
            upload=made.upload_s,
            total=self.total_s,
            gpu=self.gpu.name,
            gpu_seconds=self.total_s + self.cold.seconds,
            cold=self.cold.seconds > 0,
            cold_parts=self.cold.parts(made.timings, self.ahead),
            estimate_seconds=self._estimate.seconds if self._estimate else None,
        )

    @cached_property
    def cost(self) -> JobCost:
        route = self.bench.routes.route(self.bench.route_of(self.ref.model) or "")

        def price(seconds: float) -> float:
            return costs.cost(
                self.gpu,
                seconds,
                cpu_cores=route.cpu_cores,
                memory_gib=route.memory_gib,
                table=self.bench.gpus,
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
            outputs=len(self.made.outputs),
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
        lease, made, manifest = self.lease, self.made, self.made.manifest
        return Result(
            id=lease.id,
            status=status,
            model=self.ref.model,
            tenant=manifest.tenant if manifest else lease.tenant,
            attempt=lease.attempt,
            nonce=lease.nonce,
            manifest_sha256=hashlib.sha256(self.body).hexdigest(),
            submitted_at=lease.submitted_at,
            finished_at=now,
            seed=made.seed,
            outputs=tuple(made.outputs) if status is Status.SUCCEEDED else (),
            metrics=self.metrics,
            cost=self.cost,
            provenance=self._provenance,
            warnings=tuple(KINDS[manifest.model].warnings(manifest.input)) if manifest else (),
            metadata=manifest.metadata if manifest else {},
            callback_url=manifest.callback_url if manifest else None,
            events=(
                *requested(self.subject, Origin.of(self.bench)),
                *lease.events,
                *made.events,
                end,
            ),
        )

    @property
    def _provenance(self) -> Provenance:
        return Provenance(
            engine=self.machine.engine,
            comfyui_version=self.machine.comfyui_version,
            graph_sha256=tuple(self.made.graphs),
            models=self.made.models if self.machine.is_comfyui else {},
            model_sets=self.bench.models.fingerprints(self.made.models),
            lora=self.made.lora,
            app_version=self.bench.settings.app_version,
        )

    @cached_property
    def _estimate(self) -> costs.Estimate | None:
        """What the job was expected to take on the first GPU of its route."""
        if self.made.manifest is None:
            return None
        kind = KINDS[self.ref.model]
        route = self.bench.routes.route(kind.route)
        gpu = self.bench.gpus.gpu(route.gpus[0])
        work = kind.work(self.made.manifest.input)
        return costs.estimate(kind.name, work, gpu, route, self.bench.gpus)

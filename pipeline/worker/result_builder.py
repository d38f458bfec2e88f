"""The result of an execution, told from what it did. Pure."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from config.errors import RylaError, TooFewViews
from config.gpus import Gpu
from events.moments import Moment
from events.stored_event import StoredEvent
from handlers.character_sheet.sheet import Stop
from handlers.comfyui.info import ComfyInfo
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.contract.error_info import error_info
from pipeline.contract.lease import Lease, Spent
from pipeline.contract.result import JobCost, Metrics, Provenance, Result, Status
from pipeline.contract.summary import Subject, subject
from pipeline.models.preload import PreloadReport
from pipeline.notify.job_events import Origin, completed, ended, requested
from pipeline.notify.job_result import job_result
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import RuntimeConfig
from pipeline.sheets.cells import StoredSheet
from pipeline.sheets.sheet_end import SheetEnd, spent_on, too_few_views
from pipeline.worker.cold_start import ColdStart
from pipeline.worker.context import RenderState


def why_ended(error: RylaError | None, stop: Stop | None) -> str:
    """Why the views that a sheet could still try are not tried."""
    return error.code if error is not None else stop or TooFewViews.code


@dataclass(frozen=True)
class ResultBuilder:
    """All that is known when an execution is over."""

    payload: SpawnPayload
    lease: Lease
    body: bytes
    """Of the manifest."""
    state: RenderState
    runtime: RuntimeConfig
    comfy: ComfyInfo
    gpu: Gpu
    total_s: float
    """From the start of the execution to its last stored output, or its error."""
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
        """Seconds by part. `queue` and `claim` are differences of the store's clock, 0 at least."""
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
            estimate_most_seconds=self._estimate.most_seconds if self._estimate else None,
            evicted=tuple(state.evicted),
        )

    @cached_property
    def cost(self) -> JobCost:
        """GPU, cores and memory for `total_s` and the cold start, at the lease's rate."""
        rate, spent = self.lease.rate_usd_per_s, self._spent
        usd = rate * (self.total_s + self.cold.seconds)
        return JobCost(
            usd=usd,
            cold_usd=rate * self.cold.seconds,
            total_usd=spent.usd + usd,
            upper_bound=spent.upper_bound,
            estimate_usd=self._estimate.usd if self._estimate else None,
            estimate_most_usd=self._estimate.most_usd if self._estimate else None,
        )

    @property
    def _spent(self) -> Spent:
        """Of earlier executions."""
        sheet = self.state.sheet
        return self.lease.spent if sheet is None else spent_on(sheet, self.lease)

    def result(self, error: RylaError | None, now: datetime) -> Result:
        """How the job ends here. `now` is the store's clock."""
        if self.state.sheet is not None:
            return self._of_sheet(self.state.sheet, error, now)
        return self.succeeded(now) if error is None else self.failed(error, now)

    def _of_sheet(self, sheet: StoredSheet, error: RylaError | None, now: datetime) -> Result:
        """With `min_views` of its views a sheet succeeds, whatever ended it."""
        end = SheetEnd.of(sheet, why_ended(error, self.state.stop), self.cost.total_usd)
        fields = {
            **end.fields,
            **self.state.end_files.fields,
            "provenance": self._provenance.model_copy(update=end.made_by),
        }
        self.state.events += end.events(self.subject, self.origin, now)
        if end.enough:
            done = completed(
                self.subject,
                self.origin,
                attempt=self.lease.attempt,
                metrics=self.metrics,
                cost=self.cost,
                outputs=end.made_here,
                at=now,
            )
            return self._result(Status.SUCCEEDED, now, done, **fields)
        return self.failed(error or too_few_views(end), now, **fields)

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
        return self._result(Status.SUCCEEDED, now, done, outputs=tuple(self.state.outputs))

    def failed(self, error: RylaError, now: datetime, **more: Any) -> Result:
        """`now` is the store's clock, as it is in `succeeded`."""
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
        return self._result(Status.FAILED, now, end, error=error, **more)

    def _result(self, status: Status, now: datetime, end: StoredEvent, **more: Any) -> Result:
        lease, state, manifest = self.lease, self.state, self.state.manifest
        asked = requested(self.subject, Origin.of(self.runtime))
        return job_result(
            self.subject,
            lease,
            self.body,
            status,
            runtime=self.runtime,
            now=now,
            events=(*asked, *lease.events, *state.events, end),
            cost=self.cost,
            model=self.payload.model,
            tenant=manifest.tenant if manifest else lease.tenant,
            seed=state.seed,
            metrics=self.metrics,
            warnings=tuple(KINDS[manifest.model].warnings(manifest.input)) if manifest else (),
            **{"provenance": self._provenance, **more},
        )

    @property
    def _provenance(self) -> Provenance:
        return Provenance(
            engine=self.comfy.engine,
            comfyui_version=self.comfy.comfyui_version,
            steps=self.state.steps,
            step_cache=self.state.step_cache,
            own_nodes=self.state.own_nodes,
            sampled=self.state.sampled,
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
        kind = KINDS[self.state.manifest.model]
        route = self.runtime.routes.route(kind.route)
        gpu = self.runtime.gpus.gpu(route.gpus[0])
        request = self.state.manifest.input
        return costs.job_estimate(kind, request, gpu, self.runtime.routes, self.runtime.gpus)

"""One execution of a character sheet on a worker: it goes on where the records end."""

from dataclasses import dataclass, field

from config.errors import LoraMismatch, OutputsMissing, Superseded
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.maker import Made, SheetMaker
from handlers.character_sheet.planner import plan_sheet
from handlers.character_sheet.progress import view_state
from handlers.character_sheet.records import (
    AnyRecord,
    Choice,
    Composition,
    Picture,
    SheetRecords,
    Try,
)
from handlers.character_sheet.sheet import CellStore, Stop, make_sheet
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.kinds.base import JobRequest, Rendered
from handlers.loras.refs import ByName
from pipeline.contract.lease import Lease
from pipeline.contract.result import Output
from pipeline.sheets.cells import StoredSheet, keep_record, read_records
from pipeline.sheets.reuse import adopt_with_views
from pipeline.worker.comfyui import ComfyGraphRunner
from pipeline.worker.context import RenderState, WorkerContext
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.pictures import keep_picture

SPARE = 1.5
"""Times the longest step so far that must be left of an execution's time for one more."""


def render_sheet(
    state: RenderState,
    order: JobRequest[CharacterSheetInput],
    lease: Lease,
    body: bytes,
    context: WorkerContext,
    heart: Heartbeat,
    runner: ComfyGraphRunner,
) -> None:
    """Fills `state`, step by step. Raises from the error tree."""
    lora, models = order.supplies.lora, context.runtime.models
    proposed = plan_sheet(order.input, order.job_id, models, lora)
    tenant = state.manifest.tenant if state.manifest else ""
    plan = adopt_with_views(context.store, lease.id, proposed, tenant, heart.insist)
    if plan.lora is not None and (lora is None or lora.sha256 != plan.lora.sha256):
        raise LoraMismatch(
            f"{plan.lora.key} is another file than the one that the sheet was begun with",
            hint="Put the file back, or send the sheet under a new id.",
        )
    state.sheet = StoredSheet(plan, SheetRecords())
    maker = SheetMaker(
        plan,
        runner,
        references=tuple(order.supplies.images.values()),
        attempt=lease.attempt,
        lora=None if lora is None else lora.file,
    )
    cells = _Cells(state, plan, lease, body, context, heart)
    pace = _Pace(lease, context, runner, heart)
    _, state.stop = make_sheet(plan, maker.make, cells, pace)


def ref_of(key: str, prefix: str) -> ByName:
    """What names the LoRA file at a key, and no other."""
    return ByName(key.removeprefix(prefix).removesuffix(".safetensors"))


@dataclass
class _Pace:
    """When an execution ends between two steps. It always takes one: a yield follows a step that
    was kept, so no sheet is handed on for ever. One that an operator stops takes none: it goes on
    after the lift."""

    lease: Lease
    context: WorkerContext
    runner: ComfyGraphRunner
    heart: Heartbeat
    steps: int = 0
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.context.monotonic()

    def __call__(self, step: Compose | MakeFace, records: SheetRecords) -> Stop | None:
        if self.heart.halted is not None:
            return Stop.YIELD
        now, needed = self.context.monotonic(), longest(step, records)
        if now + needed > self.runner.paid_until:
            return Stop.BUDGET
        if self.steps and (now + SPARE * needed > self.runner.until or self._is_waited_for(now)):
            return Stop.YIELD
        self.steps += 1
        return None

    def _is_waited_for(self, now: float) -> bool:
        context = self.context
        if now - self.began < context.runtime.settings.slice_seconds:
            return False
        return context.others.wait_for(self.lease, context.store, context.runtime)


def longest(step: Compose | MakeFace, records: SheetRecords) -> float:
    """Seconds that a step of this sort took at most so far. Of a sort that none was of yet, those
    of the other; 0 where nothing was made."""
    made = [one for view in records.views.values() for one in view.made]
    sort = Composition if isinstance(step, Compose) else Try
    of_sort = [one.seconds for one in made if isinstance(one, sort)]
    return max(of_sort or [one.seconds for one in made], default=0.0)


@dataclass
class _Cells(CellStore):
    """The records in the bucket, and what they mean for this execution."""

    state: RenderState
    plan: SheetPlan
    lease: Lease
    body: bytes
    context: WorkerContext
    heart: Heartbeat
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self.context.monotonic()

    def records(self) -> SheetRecords:
        records = self.heart.insist(lambda: read_records(self.context.store, self.lease.id))
        self._show(records)
        return records

    def picture(self, picture: Picture) -> bytes:
        stored = self.heart.insist(lambda: self.context.store.get(picture.key))
        if stored is None:
            raise OutputsMissing(f"{picture.key} is gone from the bucket, and its record is there")
        return stored.body

    def keep(self, made: Made) -> AnyRecord:
        self._require_lease()
        stored = keep_picture(
            self.state, self._rendered(made), self.lease, self.body, self.context, self.heart
        )
        now = self.context.monotonic()
        seconds, self._since = now - self._since, now
        record = made.record(
            _picture(stored),
            seconds=round(seconds, 3),
            usd=seconds * self.lease.rate_usd_per_s,
            attempt=self.lease.attempt,
            at=self.context.store.now(),
            engine=self.context.comfy.engine,
        )
        return self._kept(record)

    def keep_choice(self, choice: Choice) -> AnyRecord:
        self._require_lease()
        return self._kept(choice)

    def _kept(self, record: AnyRecord) -> AnyRecord:
        stands = self.heart.insist(lambda: keep_record(self.context.store, self.lease.id, record))
        assert self.state.sheet is not None
        self._show(self.state.sheet.records.with_(stands))
        return stands

    def _require_lease(self) -> None:
        """Its records would be right all the same; but the job is another's to go on with."""
        if self.heart.lost:
            raise Superseded("the lease was lost between two steps of the sheet")

    def _show(self, records: SheetRecords) -> None:
        self.state.sheet = StoredSheet(self.plan, records)
        self.heart.show_views(
            {view.name: view_state(records.of_view(view.nn)).value for view in self.plan.views}
        )

    def _rendered(self, made: Made) -> Rendered:
        return Rendered(
            body=made.body,
            name=made.name,
            size=made.size,
            format=self.plan.output_format,
            seed=made.seed,
            timings=made.timings,
            graph_sha256=made.graph_sha256,
            weights=made.weights,
        )


def _picture(stored: Output) -> Picture:
    return Picture.model_validate(stored.model_dump())

"""Has a sheet reuse views of an ended one, so that they are not made again.

A manifest names the ended sheet, and may be anybody's: so the sheet must be the same tenant's, the
views must lie where that sheet's result says, in the folder of a job of that tenant, and have the
bytes that it says. Before a GPU starts that is judged without reading the pictures; the first
execution reads them, before it writes its plan.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from config.errors import InvalidInput, MissingInput
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.records import AnyRecord, Choice, Picture, SheetRecords
from handlers.character_sheet.reused_views import (
    difference,
    difference_from,
    origin,
    reused_records,
    with_views_of,
)
from handlers.character_sheet.sheet_plan import PlannedReuse, PlannedView, SheetPlan
from handlers.character_sheet.steps import settled
from pipeline.contract.keys import JOBS, result_key
from pipeline.contract.manifest import Manifest
from pipeline.contract.result import Output, Result, Status
from pipeline.sheets.cells import SHEET, adopt_plan, keep_record, read_sheet
from pipeline.store.conditional import SafeStore

FIELD = "input.reuse"


@dataclass(frozen=True)
class ReusedSheet:
    """An ended sheet, as far as another one reuses its views."""

    result: Result
    plan: SheetPlan
    records: SheetRecords

    def records_for(self, view: PlannedView) -> list[AnyRecord]:
        """Those that the other sheet is to have of its `view`."""
        number = next(each.nn for each in self.plan.views if each.id == view.id)
        missing = {each.id: each.reason for each in self.result.missing}
        why = None if self.output(view.id) else missing.get(view.id, "not_made")
        return [*reused_records(view, self.records.of_view(number), self.result.id, why)]

    def output(self, view: str) -> Output | None:
        """The view's picture by the result, which is the commit."""
        outputs = (each for each in self.result.outputs if each.view and each.view.id == view)
        return next(outputs, None)


def check_reuse(store: SafeStore, manifest: Manifest, lora: str | None) -> None:
    """Before a GPU starts: whether what a job is to reuse is there, and may be reused. `lora` is
    the key of the job's LoRA.

    Raises InvalidInput, or MissingInput for a picture that is gone. Pictures are not read: their
    bytes are judged by the first execution.
    """
    request = manifest.input
    if not isinstance(request, CharacterSheetInput) or request.reuse is None:
        return
    wanted = PlannedReuse(job=request.reuse.job, views=request.reuse.views)
    reused = read_reused(store, wanted, manifest.tenant)
    _require_alike(
        reused,
        difference_from(
            reused.plan,
            base=request.base,
            references=request.reference_images,
            nsfw=request.nsfw,
            lora=lora,
        ),
    )
    for picture in _pictures(reused, wanted.views):
        found = store.get(picture.key, limit=1)
        if found is None:
            raise _gone(picture)
        if found.size != picture.bytes:
            raise _other_bytes(picture)


def adopt_with_views(
    store: SafeStore, id: str, proposed: SheetPlan, tenant: str, insist: Callable[..., SheetPlan]
) -> SheetPlan:
    """The plan that binds the job, as `adopt_plan` has it, and with it the records of all views
    that it reuses. Whoever is killed on the way leaves what the next execution goes on with.

    `insist` repeats a call whose store was away. Raises InvalidInput and MissingInput.
    """
    if proposed.reuse is None:
        return insist(lambda: adopt_plan(store, id, proposed))
    return insist(lambda: _adopted(store, id, proposed, tenant))


def read_reused(store: SafeStore, wanted: PlannedReuse, tenant: str) -> ReusedSheet:
    """The sheet whose views are wanted. Raises InvalidInput where they may not be had."""
    result, sheet = require_own_sheet(store, wanted.job, tenant), read_sheet(store, wanted.job)
    if sheet is None or sheet.plan.job_id != wanted.job:
        raise _refused(f"nothing of {wanted.job} was made", wanted.job)
    known = {view.id: view for view in sheet.plan.views}
    for id in wanted.views:
        if id not in known:
            raise InvalidInput(
                f"{wanted.job} has no view {id!r}",
                field=f"{FIELD}.views",
                value=id,
                hint=f"It has {', '.join(known)}.",
            )
    reused = ReusedSheet(result, sheet.plan, settled(sheet.plan, sheet.records))
    for view in (known[id] for id in wanted.views):
        _require_as_told(reused, view)
    for job in _origins(reused, wanted.views) - {wanted.job}:
        require_own_sheet(store, job, tenant)
    return reused


def require_own_sheet(store: SafeStore, id: str, tenant: str) -> Result:
    """The result of an ended sheet of this tenant. Raises InvalidInput, the same for one of
    somebody else as for one that is not there."""
    stored = store.get(result_key(id))
    result = None if stored is None else Result.parse(stored.body)
    if (
        result is None
        or result.status is Status.FORGOTTEN
        or (result.id, result.model, result.tenant) != (id, SHEET, tenant)
    ):
        raise _refused(f"{tenant} has no character sheet {id} that has ended", id)
    return result


def _adopted(store: SafeStore, id: str, proposed: SheetPlan, tenant: str) -> SheetPlan:
    standing = read_sheet(store, id)
    records = SheetRecords() if standing is None else standing.records
    plan = proposed if standing is None else standing.plan
    due = [view for view in plan.reused_views if records.of_view(view.nn).choice is None]
    if not due or plan.reuse is None:
        return plan
    reused = read_reused(store, plan.reuse, tenant)
    _require_alike(reused, difference(plan, reused.plan))
    for picture in _pictures(reused, [view.id for view in due]):
        _require_bytes(store, picture)
    if standing is None:
        plan = adopt_plan(store, id, with_views_of(plan, reused.plan))
    for view in due:
        for record in reused.records_for(view):
            keep_record(store, id, record)
    return plan


def _require_alike(reused: ReusedSheet, differing: str | None) -> None:
    if differing is not None:
        raise _refused(f"{reused.result.id} has another {differing}", reused.result.id)


def _require_as_told(reused: ReusedSheet, view: PlannedView) -> None:
    """That the records of a view name the picture that its result names, which is the commit, and
    that it lies where the job that made it has its own."""
    output, chosen = reused.output(view.id), reused.records.of_view(view.nn).chosen
    if output is None:
        return
    if chosen is not None:
        folder = f"{JOBS}{origin(chosen, reused.result.id)}/out/"
        found = (chosen.picture.key, chosen.picture.sha256)
        if found == (output.key, output.sha256) and output.key.startswith(folder):
            return
    raise _refused(
        f"what is recorded of {view.name} of {reused.result.id} is not what its result says",
        view.id,
    )


def _origins(reused: ReusedSheet, views: Sequence[str]) -> set[str]:
    """The jobs that made these views."""
    return {record.reused_from or reused.result.id for record in _records(reused, views)}


def _pictures(reused: ReusedSheet, views: Sequence[str]) -> list[Picture]:
    return [each.picture for each in _records(reused, views) if not isinstance(each, Choice)]


def _records(reused: ReusedSheet, views: Sequence[str]) -> Iterator[AnyRecord]:
    """As they would stand in the sheet that reuses them."""
    for view in reused.plan.views:
        if view.id in views:
            yield from reused.records_for(view)


def _require_bytes(store: SafeStore, picture: Picture) -> None:
    stored = store.get(picture.key, limit=picture.bytes + 1)
    if stored is None:
        raise _gone(picture)
    if hashlib.sha256(stored.body).hexdigest() != picture.sha256:
        raise _other_bytes(picture)


def _gone(picture: Picture) -> MissingInput:
    return MissingInput(
        f"{picture.key} is to be reused, and is gone from the bucket",
        field=f"{FIELD}.views",
        value=picture.key,
        hint="Have that view made again too.",
    )


def _other_bytes(picture: Picture) -> InvalidInput:
    return InvalidInput(
        f"{picture.key} is to be reused, and has other bytes than its record says",
        field=f"{FIELD}.views",
        value=picture.key,
        hint="Somebody has overwritten it; have that view made again too.",
    )


def _refused(message: str, value: str) -> InvalidInput:
    return InvalidInput(
        message,
        field=f"{FIELD}.job",
        value=value,
        hint="Views are reused of an ended sheet of the same tenant and person.",
    )

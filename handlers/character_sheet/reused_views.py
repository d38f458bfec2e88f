"""What a sheet reuses of an ended one: plan and records of the views that are not made again.
Pure.

A view that is reused keeps the prompt, caption and seeds that it was made with. Its records are
copied with no seconds and no cost, and name the job that made it, never one that reuses it
too.
"""

from collections.abc import Iterator

from handlers.character_sheet.records import AnyRecord, Choice, ViewRecords
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan


def difference(plan: SheetPlan, origin: SheetPlan) -> str | None:
    """The field of the input by which the two are not sheets of one person made alike; None where
    views of one may stand in the other."""
    loras = [None if each.lora is None else each.lora.sha256 for each in (plan, origin)]
    if loras[0] != loras[1]:
        return "lora_id"
    lora = None if origin.lora is None else origin.lora.key
    return difference_from(
        origin, base=plan.base, references=plan.references, nsfw=plan.nsfw, lora=lora
    )


def difference_from(
    origin: SheetPlan, *, base: str, references: tuple[str, ...], nsfw: bool, lora: str | None
) -> str | None:
    """Likewise before there is a plan; `lora` is the key of its file."""
    known = None if origin.lora is None else origin.lora.key
    for field, differs in (
        ("base", base != origin.base),
        ("reference_images", references != origin.references),
        ("lora_id", lora != known),
        ("nsfw", nsfw != origin.nsfw),
    ):
        if differs:
            return field
    return None


def with_views_of(plan: SheetPlan, origin: SheetPlan) -> SheetPlan:
    """`plan` with the views that it reuses as `origin` planned them.

    Raises StopIteration for a view that `origin` does not have.
    """
    reused = () if plan.reuse is None else plan.reuse.views
    views = tuple(
        _of(origin, view.id).model_copy(update={"nn": view.nn}) if view.id in reused else view
        for view in plan.views
    )
    return plan.model_copy(update={"views": views})


def reused_records(
    view: PlannedView, made: ViewRecords, job: str, missing: str | None
) -> Iterator[AnyRecord]:
    """The records of a view in the sheet that reuses it: its picture, and after it its choice.

    `made` are those of `job`. What is `missing` there, and why, stays so.
    """
    chosen, choice = made.chosen, made.choice
    if missing is not None or chosen is None or choice is None:
        maker = job if choice is None else origin(choice, job)
        fault = missing or "not_made"
        yield Choice(number=view.nn, view=view.id, k=0, fault=fault, reused_from=maker)
        return
    maker = origin(chosen, job)
    free = {"number": view.nn, "seconds": 0.0, "usd": 0.0, "reused_from": maker}
    yield chosen.model_copy(update=free)
    yield choice.model_copy(update={"number": view.nn, "reused_from": maker})


def origin(record: AnyRecord, job: str) -> str:
    """The job that made it, of a record of `job`."""
    return record.reused_from or job


def _of(plan: SheetPlan, id: str) -> PlannedView:
    return next(view for view in plan.views if view.id == id)

"""Which step of a character sheet comes next, given its plan and what has been made. Pure.

    all compositions ─ all faces ─ again for the views that have a fault ─ … ─ every view chosen

Models are loaded as seldom as that: a base model and the face's never take turns view by view. An
attempt at a view is a composition and a face in it. A composition with a fault ends its attempt,
and a face below the gate is tried again in the same composition. So any two executions, after
whatever was lost, go the same way.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from handlers.character_sheet.combinations import Making
from handlers.character_sheet.records import (
    FACE_BELOW_GATE,
    NO_FACE,
    Choice,
    Composition,
    SheetRecords,
    Try,
    ViewRecords,
)
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan


@dataclass(frozen=True)
class Compose:
    number: int
    k: int


@dataclass(frozen=True)
class MakeFace:
    number: int
    k: int
    composition: int | None
    """None where one pass makes all."""


@dataclass(frozen=True)
class Choose:
    choice: Choice


@dataclass(frozen=True)
class Done:
    """Every view has its choice."""


Step = Compose | MakeFace | Choose | Done


def next_step(plan: SheetPlan, records: SheetRecords) -> Step:
    """The step that an execution is to take now."""
    return min(open_steps(plan, records), key=_turn, default=Done())


def open_steps(plan: SheetPlan, records: SheetRecords) -> Iterator[Compose | MakeFace | Choose]:
    """What is next of each view that has no choice yet."""
    for view in plan.views:
        made = records.of_view(view.nn)
        if made.choice is None:
            yield _next_of(view, made, plan.attempts_per_view)


def settled(plan: SheetPlan, records: SheetRecords) -> SheetRecords:
    """With the choices that are still to be recorded and cost nothing: a picture without a fault is
    never lost to a process that ended before it could say so."""
    due = [step.choice for step in open_steps(plan, records) if isinstance(step, Choose)]
    for choice in due:
        records = records.with_(choice)
    return records


def _turn(step: Compose | MakeFace | Choose) -> tuple[int, int, int]:
    match step:
        case Choose(choice):
            return (0, 0, choice.number)  # costs nothing, and cannot be lost any more
        case Compose(number, k):
            return (k, 1, number)
        case MakeFace(number, k, _):
            return (k, 2, number)


def _next_of(view: PlannedView, made: ViewRecords, attempts: int) -> Compose | MakeFace | Choose:
    last = made.attempts
    if last == 0:
        return _begin(view, 1)
    ended = made.tries.get(last) or made.compositions[last]
    if isinstance(ended, Composition) and _is_half(view, ended):
        return MakeFace(view.nn, last, last)
    if ended.fault is None or last >= attempts:
        return Choose(choose(view, made))
    if isinstance(ended, Try) and ended.fault == FACE_BELOW_GATE:
        return MakeFace(view.nn, last + 1, ended.composition)
    return _begin(view, last + 1)


def _begin(view: PlannedView, k: int) -> Compose | MakeFace:
    return Compose(view.nn, k) if view.composes else MakeFace(view.nn, k, None)


def choose(view: PlannedView, made: ViewRecords) -> Choice:
    """The best of what was made: without a fault, else the nearest to it, which stays missing.

    There is one: an attempt that did not fail ends with a whole picture.
    """
    whole = [one for one in made.made if isinstance(one, Try) or not _is_half(view, one)]
    best = max(whole, key=lambda one: (_goodness(one.fault), _likeness(one), -one.k))
    return Choice(
        number=view.nn,
        view=view.id,
        k=best.k,
        of="t" if isinstance(best, Try) else "c",
        fault=best.fault,
    )


def _is_half(view: PlannedView, one: Composition) -> bool:
    """Whether a composition is only half of the view: its face is still to be made. A profile in
    which none was found has none to make anew, and is whole."""
    return view.making is Making.FACE_PASS and one.fault is None and one.box is not None


def _goodness(fault: str | None) -> int:
    if fault is None:
        return 3
    return {FACE_BELOW_GATE: 2, NO_FACE: 0}.get(fault, 1)


def _likeness(one: object) -> float:
    similarity = one.score.similarity if isinstance(one, Try) else None
    return -1.0 if similarity is None else similarity

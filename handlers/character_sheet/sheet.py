"""The making of a character sheet, step by step, each kept before the next begins.

An execution adopts what others have kept, and its own picture is dropped where a record stands
already. So it may be killed at any moment, and one that has lost its job can do no harm.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from handlers.character_sheet.maker import Made
from handlers.character_sheet.plan import SheetPlan
from handlers.character_sheet.records import (
    AnyRecord,
    Choice,
    Picture,
    SheetRecords,
    ViewRecords,
)
from handlers.character_sheet.steps import Choose, Compose, Done, MakeFace, next_step, open_steps


class CellStore(Protocol):
    """Where the records of one sheet are kept. Each is created once."""

    def records(self) -> SheetRecords:
        """All that stand."""

    def picture(self, picture: Picture) -> bytes:
        """The picture of an earlier step."""

    def keep(self, made: Made) -> AnyRecord:
        """Store a picture, and after it its record. The record that stands then: an earlier one
        may be there, of the same step."""

    def keep_choice(self, choice: Choice) -> AnyRecord:
        """Likewise of a choice."""


class Stop(StrEnum):
    """Why an execution ends between two steps."""

    YIELD = "yield"
    """Other jobs wait for its worker, or its time is up: another execution goes on."""
    BUDGET = "over_budget"
    """No further step is paid for: the sheet ends."""


Make = Callable[[Compose | MakeFace, SheetRecords, Callable[[Picture], bytes], int, int], Made]
"""`SheetMaker.make`."""
Pace = Callable[[Compose | MakeFace, SheetRecords], Stop | None]
"""Asked before each step that takes a GPU."""


def make_sheet(
    plan: SheetPlan, make: Make, cells: CellStore, pace: Pace
) -> tuple[SheetRecords, Stop | None]:
    """Take steps until every view has its choice, or `pace` says stop."""
    records = cells.records()
    while not isinstance(step := next_step(plan, records), Done):
        if isinstance(step, Choose):
            records = records.with_(cells.keep_choice(step.choice))
            continue
        stop = pace(step, records)
        if stop is not None:
            return records, stop
        made = make(step, records, cells.picture, *parts_done(plan, records))
        records = records.with_(cells.keep(made))
    return records, None


def settled(plan: SheetPlan, records: SheetRecords) -> SheetRecords:
    """With the choices that are still to be recorded and cost nothing: a picture without a fault is
    never lost to a process that ended before it could say so."""
    due = [step.choice for step in open_steps(plan, records) if isinstance(step, Choose)]
    for choice in due:
        records = records.with_(choice)
    return records


class ViewState(StrEnum):
    """How far a view is."""

    WAITING = "waiting"
    COMPOSED = "composed"
    AGAIN = "again"
    """What was made has a fault."""
    MADE = "made"
    MISSING = "missing"


def view_state(view: ViewRecords) -> ViewState:
    if view.choice is not None:
        return ViewState.MADE if view.choice.made else ViewState.MISSING
    if not view.made:
        return ViewState.WAITING
    return ViewState.AGAIN if view.made[-1].fault is not None else ViewState.COMPOSED


def parts_done(plan: SheetPlan, records: SheetRecords) -> tuple[int, int]:
    """How many parts of the sheet are done, of how many: two a view. A retry shows as none."""
    done = 0
    for view in plan.views:
        state = view_state(records.of_view(view.nn))
        done += {ViewState.WAITING: 0, ViewState.COMPOSED: 1, ViewState.AGAIN: 1}.get(state, 2)
    return min(done, 2 * len(plan.views) - 1), 2 * len(plan.views)

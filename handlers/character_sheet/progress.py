"""How far a character sheet is, by its records. Pure."""

from enum import StrEnum

from handlers.character_sheet.records import SheetRecords, ViewRecords
from handlers.character_sheet.sheet_plan import SheetPlan


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

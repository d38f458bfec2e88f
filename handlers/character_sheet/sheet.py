"""The making of a character sheet, step by step, each kept before the next begins.

An execution adopts what others have kept, and its own picture is dropped where a record stands
already. So it may be killed at any moment, and one that has lost its job can do no harm.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from handlers.character_sheet.maker import Made
from handlers.character_sheet.progress import parts_done
from handlers.character_sheet.records import (
    AnyRecord,
    Choice,
    Picture,
    SheetRecords,
)
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.character_sheet.steps import Choose, Compose, Done, MakeFace, next_step


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

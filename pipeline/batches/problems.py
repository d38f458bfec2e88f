"""What is wrong with the rows of a file: collected, so that all of it is told at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from config.errors import InvalidRow
from pipeline.contract.keys import clip

MAX_TOLD = 100
"""Problems that are told one by one; of the others, how many there are."""


def row_problem(
    row: int | None,
    column: str | None,
    message: str,
    *,
    value: object = None,
    hint: str | None = None,
) -> InvalidRow:
    """`row` is None for the file as a whole, `column` for a row as a whole."""
    where = f"row {row}" if row is not None else ""
    where += f", {clip(column, 80)}" if column else ""
    said = f"{where}: {message}" if where else message
    shown = None if value is None else clip(value)
    error = InvalidRow(said, field=clip(column, 80) if column else None, value=shown, hint=hint)
    error.row = row
    return error


@dataclass
class Problems:
    found: list[InvalidRow] = field(default_factory=list)

    def add(self, problem: InvalidRow) -> None:
        self.found.append(problem)

    @property
    def told(self) -> Sequence[InvalidRow]:
        """The first of them, in the order of the rows."""
        return sorted(self.found, key=lambda each: each.row or 0)[:MAX_TOLD]

    @property
    def untold(self) -> int:
        return max(0, len(self.found) - MAX_TOLD)

"""`ryla sheets review NAME --from FILE`: the verdicts that a batch's page gave out."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import typer

from config.errors import InvalidInput, RylaError
from pipeline.batches.batch_reader import READERS
from pipeline.batches.lines import RowLine
from pipeline.cli import output
from pipeline.contract.keys import clip
from pipeline.datasets.reviewable import require_reviewable
from pipeline.reviews.review import Marks, Verdict, change_review
from pipeline.reviews.review_file import ReviewFile, read_review_file
from pipeline.sheets.ended_sheet import EndedSheet, require_ended_sheet
from pipeline.sheets.reviewed_views import reviewed_views
from pipeline.store.conditional import SafeStore


@dataclass(frozen=True)
class Applied:
    """What a file changed of one sheet's review."""

    id: str
    before: Mapping[str, Verdict | None]
    """By the ids of the views that the file names."""
    after: Marks

    @property
    def verdicts(self) -> Mapping[str, Verdict | None]:
        return {id: mark.verdict if mark else None for id, mark in self.after.items()}

    def named(self, verdict: Verdict | None) -> list[str]:
        return [id for id, said in self.verdicts.items() if said is verdict]

    @property
    def replaced(self) -> list[str]:
        """Views of which something else was said before."""
        said = self.verdicts
        return [id for id, was in self.before.items() if was is not None and was is not said[id]]

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kept": self.named(Verdict.KEEP),
            "rejected": self.named(Verdict.REJECT),
            "cleared": self.named(None),
            "replaced": self.replaced,
        }


def apply_file(
    store: SafeStore, batch: str, lines: Sequence[RowLine], path: Path, *, as_json: bool
) -> None:
    """All of it is checked before anything is written. Run again, it changes nothing."""
    read = read_review_file(path, batch)
    known = {sheet.id for line in lines for sheet in (line.own, *line.redos)}
    with ThreadPoolExecutor(READERS, "reviews") as pool:
        checked = [*pool.map(partial(_checked, store, read, known), read.reviews)]
        wrong = [each for each in checked if isinstance(each, RylaError)]
        for error in wrong:
            output.print_error(error, as_json=as_json)
        if wrong:
            raise typer.Exit(1)
        sheets = [each for each in checked if isinstance(each, EndedSheet)]
        applied = [*pool.map(partial(_apply, store, read), sheets)]
    if as_json:
        output.print_json({"sheets": [each.document() for each in applied]})
        return
    columns = ("=sheet", ">kept", ">rejected", ">cleared", "replaced")
    rows = [
        (
            each.id,
            len(each.named(Verdict.KEEP)),
            len(each.named(Verdict.REJECT)),
            len(each.named(None)),
            ", ".join(each.replaced),
        )
        for each in applied
    ]
    output.out().print(output.table(None, columns, rows))


def _checked(
    store: SafeStore, read: ReviewFile, known: set[str], id: str
) -> EndedSheet | RylaError:
    try:
        if id not in known:
            raise InvalidInput(
                f"{clip(id)} is no sheet of the batch {read.batch}",
                field=f"reviews.{clip(id)}",
                value=clip(id),
                hint=f"`ryla sheets status {read.batch} --json` names them.",
            )
        sheet = require_ended_sheet(store, id)
        reviewed_views(store, id)
        for view, mark in read.marks(id).items():
            field = f"reviews.{id}.{view}"
            require_reviewable(sheet, view, mark.verdict if mark else None, field)
    except RylaError as error:
        return error
    return sheet


def _apply(store: SafeStore, read: ReviewFile, sheet: EndedSheet) -> Applied:
    marks = read.marks(sheet.id)
    said = reviewed_views(store, sheet.id)
    change_review(store, sheet.id, sheet.tenant, marks)
    before = {view: said[view].verdict if view in said else None for view in marks}
    return Applied(sheet.id, before, marks)

"""`ryla sheets review`: what a person says of a sheet's views."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import InvalidInput, RylaError, UnknownBatch
from handlers.character_sheet.progress import ViewState
from handlers.character_sheet.sheet_document import DocumentView
from handlers.character_sheet.sheet_plan import PlannedView
from pipeline.batches.batch_reader import READERS
from pipeline.batches.lines import RowLine
from pipeline.batches.named import sheets_named
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.sheets_review_file import apply_file
from pipeline.contract.result import Output
from pipeline.datasets.reviewable import require_reviewable
from pipeline.reviews.review import Mark, Verdict, ViewReview, change_review, read_review
from pipeline.sheets.ended_sheet import EndedSheet, read_sheet_document, require_ended_sheet
from pipeline.sheets.reviewed_views import reviewed_views
from pipeline.sheets.scores import scores_of
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Keep or reject views of a sheet that has ended, or show what was said of them.

Views are named by number or name, several with commas between. What is rejected is exported to no
training set, and `ryla sheets redo ID --rejected` makes it again. Two reviewers at once lose
nothing. A batch's name shows how far the review of each of its sheets is.

Examples:

    ryla sheets review ann

    ryla sheets review ann --keep front,three-quarter-left --reject 4 --note "six fingers"

    ryla sheets review ann --clear 4

    ryla sheets review autumn

    ryla sheets review autumn --from autumn-review.json
"""

Asked = Mapping[str, Sequence[str] | None]
"""Option → views."""


@dataclass(frozen=True)
class Row:
    """A view with its scores and what was said of it."""

    view: PlannedView
    output: Output | None
    told: DocumentView | None
    missing: str | None
    said: ViewReview | None

    def document(self) -> dict[str, Any]:
        scores = scores_of(self.output, self.told)
        said = self.said
        return {
            "number": self.view.nn,
            "id": self.view.id,
            "name": self.view.name,
            "missing": self.missing,
            "key": self.output.key if self.output else None,
            "match": scores.match,
            "similarity": scores.similarity,
            "match_reason": scores.reason,
            "verdict": said.verdict if said else None,
            "note": said.note if said else None,
            "at": said.at if said else None,
        }


def register(group: typer.Typer) -> None:
    group.command("review", help=HELP)(_review)


@output.command
def _review(
    name: Annotated[str, typer.Argument(metavar="ID", help="The sheet's job, or a batch.")],
    keep: Annotated[list[str] | None, typer.Option(metavar="VIEW,…", help="Views to keep.")] = None,
    reject: Annotated[
        list[str] | None, typer.Option(metavar="VIEW,…", help="Views to reject.")
    ] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(metavar="VIEW,…", help="Views to make unreviewed again."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            dir_okay=False,
            help="Of a batch: apply the verdicts that its page gave out.",
        ),
    ] = None,
    note: Annotated[
        str | None,
        typer.Option(help="Why, of the views that are rejected here; of those kept if none is."),
    ] = None,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    if note is not None and not keep and not reject:
        raise typer.BadParameter("a note needs views: --keep or --reject")
    if file is not None and (keep or reject or clear):
        raise typer.BadParameter("--from has the verdicts: no --keep, --reject or --clear")
    store = open_store(bucket_settings(state_dir))
    named = sheets_named(store, [name])
    if file is not None and not named.lines:
        raise UnknownBatch(f"no batch is named {name}", field="name", value=name)
    if file is not None:
        apply_file(store, name, named.lines, file, as_json=json)
        return
    if named.lines:
        if keep or reject or clear:
            raise typer.BadParameter(f"{name} is a batch: name one of its sheets")
        _show_batch(store, named.lines, as_json=json)
        return
    asked = {"--keep": keep, "--reject": reject, "--clear": clear}
    _review_sheet(store, named.ids[0], asked, note, as_json=json)


def _review_sheet(
    store: SafeStore, id: str, asked: Asked, note: str | None, *, as_json: bool
) -> None:
    """Say what is asked, and show what stands then."""
    sheet = require_ended_sheet(store, id)
    marks = _marks(sheet, asked, note)
    review = change_review(store, id, sheet.tenant, marks) if marks else read_review(store, id)
    document = read_sheet_document(store, sheet.result)
    told = {} if document is None else {view.number: view for view in document.views}
    rows = [*_rows(sheet, told, reviewed_views(store, id))]
    if as_json:
        views = [row.document() for row in rows]
        output.print_json({"id": id, "tenant": sheet.tenant, "views": views, "review": review})
    else:
        columns = (">view", "=name", "picture", ">match", ">similarity", "review", "note", "=at")
        output.out().print(output.table(None, columns, map(_cells, rows)))


def _show_batch(store: SafeStore, lines: Sequence[RowLine], *, as_json: bool) -> None:
    """How far the review of each sheet is that stands for a row and has ended. One whose review
    cannot be read holds up no other."""
    ended = [line for line in lines if line.standing.ended]
    with ThreadPoolExecutor(READERS, "reviews") as pool:
        read = [*zip(ended, pool.map(partial(_said, store), ended), strict=True)]
    sheets = [_sheet(line, said) for line, said in read if not isinstance(said, RylaError)]
    errors = {line.standing.id: why for line, why in read if isinstance(why, RylaError)}
    if as_json:
        output.print_json({"sheets": sheets, "failed": [*errors]})
    else:
        _print_batch(sheets)
    for id, why in errors.items():
        output.print_error(why, as_json=as_json, about=id)
    if errors:
        raise typer.Exit(1)


def _said(store: SafeStore, line: RowLine) -> Mapping[str, ViewReview] | RylaError:
    try:
        return reviewed_views(store, line.standing.id)
    except RylaError as error:
        return error


def _print_batch(sheets: Sequence[dict[str, Any]]) -> None:
    rows = [
        (
            sheet["id"],
            sheet["character"],
            len(sheet["kept"]),
            ", ".join(sheet["rejected"]),
            len(sheet["unreviewed"]),
            len(sheet["missing"]),
        )
        for sheet in sheets
    ]
    columns = ("=sheet", "character", ">kept", "rejected", ">unreviewed", ">missing")
    output.out().print(output.table(None, columns, rows))


def _sheet(line: RowLine, reviewed: Mapping[str, ViewReview]) -> dict[str, Any]:
    made = [view.id for view in line.standing.views if view.state == ViewState.MADE]
    said = {id: reviewed[id].verdict if id in reviewed else None for id in made}
    return {
        "id": line.standing.id,
        "character": line.row.character,
        "kept": [id for id in made if said[id] is Verdict.KEEP],
        "rejected": [id for id in made if said[id] is Verdict.REJECT],
        "unreviewed": [id for id in made if said[id] is None],
        "missing": [view.id for view in line.standing.views if view.state == ViewState.MISSING],
    }


def words(given: Sequence[str] | None) -> list[str]:
    """Of options that take several with commas between."""
    return [word for each in given or () for part in each.split(",") if (word := part.strip())]


def _marks(sheet: EndedSheet, asked: Asked, note: str | None) -> dict[str, Mark | None]:
    """By a view's id. Raises InvalidInput for a view that is named twice or cannot be reviewed."""
    marks: dict[str, Mark | None] = {}
    of_kept = None if asked["--reject"] else note
    meant = {"--keep": Mark(Verdict.KEEP, of_kept), "--reject": Mark(Verdict.REJECT, note)}
    for option, given in asked.items():
        mark = meant.get(option)
        for view in sheet.views_named(words(given), option):
            if view.id in marks:
                raise InvalidInput(f"{view.name} is named twice", field=option, value=view.name)
            require_reviewable(sheet, view.id, mark.verdict if mark else None, option)
            marks[view.id] = mark
    return marks


def _rows(
    sheet: EndedSheet, told: Mapping[int, DocumentView], said: Mapping[str, ViewReview]
) -> Iterator[Row]:
    outputs = {each.view.number: each for each in sheet.result.outputs if each.view}
    missing = {each.number: each.reason for each in sheet.result.missing}
    for view in sheet.plan.views:
        found = outputs.get(view.nn)
        why = None if found else missing.get(view.nn, "not made")
        yield Row(view, found, told.get(view.nn), why, said.get(view.id))


def _cells(row: Row) -> tuple[object, ...]:
    scores = scores_of(row.output, row.told)
    said = row.said
    return (
        row.view.nn,
        row.view.id,
        f"missing: {row.missing}" if row.missing else "made",
        scores.reason if scores.match is None else f"{scores.match:.2f}",
        None if scores.similarity is None else f"{scores.similarity:.2f}",
        said.verdict if said else None,
        said.note if said else None,
        f"{said.at:%Y-%m-%d %H:%M}" if said else None,
    )

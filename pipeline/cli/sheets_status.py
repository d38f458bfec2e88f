"""`ryla sheets status`: a batch as a table of characters and views."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from config.settings import Settings
from handlers.character_sheet.progress import ViewState
from pipeline.batches.batch import Batch, require_batch
from pipeline.batches.batch_reader import BatchReader
from pipeline.batches.lines import RowLine, SheetLine, ViewLine, state_word, totals
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.jobs.hold_ups import MAY_WAIT, read_hold_ups
from pipeline.jobs.status import State
from pipeline.runtime import load_runtime
from pipeline.sheets.cells import SHEET
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Show how far a batch is: a line for each character, a cell for each view.

A cell has the match of a face, or ✓ where there is none; ✗ is a view that is missing, ↻ one that is
made again, ◐ one that waits for its face. For a row stands its newest redo that succeeded. Only the
batch's own jobs are read.

Examples:

    ryla sheets status autumn

    ryla sheets status autumn --watch
"""
LOOK_SECONDS = 2.0
SIGNS = {
    ViewState.MADE: "[green]✓[/]",
    ViewState.MISSING: "[red]✗[/]",
    ViewState.AGAIN: "[yellow]↻[/]",
    ViewState.COMPOSED: "[cyan]◐[/]",
    ViewState.WAITING: "[dim]·[/]",
}
CELL = 5
"""Characters of a view's column."""
BESIDE = 70
"""Characters that the other columns want."""
NARROW = 60
"""A terminal of fewer columns is shown what matters most."""


def register(group: typer.Typer) -> None:
    group.command("status", help=HELP)(_status)


@output.command
def _status(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the batch.")],
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again until all of it has ended, or Ctrl-C.")
    ] = False,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    settings = bucket_settings(state_dir)
    store = open_store(settings)
    reader = BatchReader(store, require_batch(store, name))
    reader.look()
    if watch:
        watch_batch(reader, as_json=json)
    waiting = sum(line.standing.state in MAY_WAIT for line in reader.lines)
    why = _why_wait(store, settings, reader.batch) if waiting else []
    if json:
        document = _document(reader.batch, reader.lines) | {"why_wait": why}
        output.print_json(document, line=watch)
    else:
        output.out().print(_shown(reader.batch, reader.lines, output.out().width))
        for each in why:
            output.print_text(f"{waiting} sheet{'s wait' if waiting > 1 else ' waits'}: {each}")


def _why_wait(store: SafeStore, settings: Settings, batch: Batch) -> list[str]:
    hold_ups = read_hold_ups(store, load_runtime(settings, settings.engine))
    return hold_ups.why(batch.tenant, SHEET, batch.name)


def watch_batch(
    reader: BatchReader, *, as_json: bool, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Until all has ended. With JSON each change is a line, but for the last, which follows."""
    console = output.err()
    shown = console.is_terminal and not as_json
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while not reader.done:
            if shown:
                live.update(_shown(reader.batch, reader.lines, console.width), refresh=True)
            elif as_json:
                output.print_json(_document(reader.batch, reader.lines), line=True)
            before = reader.lines
            while reader.lines == before and not reader.done:
                sleep(LOOK_SECONDS)
                reader.look()


def _shown(batch: Batch, lines: Sequence[RowLine], width: int) -> Group:
    return Group(table(lines, width), Text(), *(Text(each) for each in _summary(batch, lines)))


def table(lines: Sequence[RowLine], width: int) -> Table:
    numbers = sorted({view.number for line in lines for view in line.standing.views})
    wide = BESIDE + CELL * len(numbers) <= width
    made = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    narrow = width < NARROW
    if not narrow:
        made.add_column("row", justify="right", no_wrap=True)
    made.add_column("character", overflow="ellipsis", no_wrap=True, max_width=24, min_width=6)
    made.add_column("state", no_wrap=True)
    for number in numbers if wide else ():
        made.add_column(f"{number:02}", justify="right", no_wrap=True)
    if not wide:
        made.add_column("views", overflow="fold")
    for name in () if narrow else ("worst", "tries", "cost"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("wrong", overflow="fold")
    for line in lines:
        sheet = line.standing
        by_number = {view.number: view for view in sheet.views}
        cells = [_cell(by_number.get(number)) for number in numbers] if wide else [_strip(sheet)]
        row = () if narrow else (str(line.row.row),)
        figures = () if narrow else (_match(sheet.worst_match), str(sheet.tries or ""), _usd(line))
        state = output.cell(state_word(sheet))
        said = escape("; ".join(_wrong(line)))
        character = escape(" ".join(line.row.character.split()))
        made.add_row(*row, character, state, *cells, *figures, said)
    return made


def _cell(view: ViewLine | None) -> str:
    if view is None:
        return ""
    if view.state == ViewState.MADE and view.match is not None:
        return f"[green]{view.match:.2f}[/]"
    return _sign(view)


def _strip(sheet: SheetLine) -> str:
    return "".join(_sign(view) for view in sheet.views)


def _sign(view: ViewLine) -> str:
    return SIGNS.get(ViewState(view.state), "?") if view.state in {*ViewState} else "?"


def _match(match: float | None) -> str:
    return "" if match is None else f"{match:.2f}"


def _usd(line: RowLine) -> str:
    return output.usd(line.usd)


def _wrong(line: RowLine) -> Iterator[str]:
    """What is not as it should be, and what is done about it."""
    sheet = line.standing
    if sheet.error is not None:
        yield sheet.error.partition(":")[0]
    reasons: dict[str, list[int]] = {}
    for view in sheet.views:
        if view.state == ViewState.MISSING:
            reasons.setdefault(view.reason or "missing", []).append(view.number)
    for reason, numbers in reasons.items():
        yield f"{','.join(f'{number:02}' for number in numbers)} {reason}"
    if sheet.trainable is False:
        yield "not trainable"
    if line.under_way is not None:
        yield f"{line.under_way.id.rpartition('-')[2]} {line.under_way.state.value}"


def _summary(batch: Batch, lines: Sequence[RowLine]) -> Iterator[str]:
    whole = totals(lines)
    states = ", ".join(f"{count} {word}" for word, count in sorted(whole.by_state.items()))
    yield f"{whole.rows} sheets: {states}"
    yield f"{whole.views_made} views made, {whole.views_missing} missing"
    cost = f"Cost {output.usd(whole.usd)}"
    if whole.remaining_usd:
        cost += f", about {output.usd(whole.remaining_usd)} more with one try of each view"
    elif whole.remaining_usd is None:
        cost += ", and no estimate of the rest"
    if batch.budget_usd is not None:
        cost += f"; budget ${batch.budget_usd:g}"
    yield cost
    unsent = whole.by_state.get(State.UNKNOWN, 0)
    if unsent:
        yield f"{unsent} were not sent: run `ryla sheets submit` with the same file again."


def _document(batch: Batch, lines: Sequence[RowLine]) -> dict[str, Any]:
    whole = totals(lines)
    return {
        "batch": batch.name,
        "tenant": batch.tenant,
        "created_at": batch.created_at,
        "estimate_usd": batch.estimate_usd,
        "budget_usd": batch.budget_usd,
        "totals": {
            "rows": whole.rows,
            "by_state": whole.by_state,
            "views_made": whole.views_made,
            "views_missing": whole.views_missing,
            "usd": whole.usd,
            "remaining_usd": whole.remaining_usd,
        },
        "rows": [
            {
                "row": line.row.row,
                "character": line.row.character,
                **_sheet_document(line.standing),
                "total_usd": line.usd,
                "own": line.own.id,
                "redos": [{"id": redo.id, "state": state_word(redo)} for redo in line.redos],
            }
            for line in lines
        ],
    }


def _sheet_document(sheet: SheetLine) -> dict[str, Any]:
    return {
        "id": sheet.id,
        "state": state_word(sheet),
        "ended": sheet.ended,
        "worst_match": sheet.worst_match,
        "tries": sheet.tries,
        "usd": sheet.usd,
        "error": sheet.error,
        "trainable": sheet.trainable,
        "views": [
            {
                "number": view.number,
                "id": view.id,
                "state": view.state,
                "match": view.match,
                "tries": view.tries,
                "reason": view.reason,
            }
            for view in sheet.views
        ],
    }

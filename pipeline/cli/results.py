"""`ryla results`: results, and their outputs brought here."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Annotated, Any

import typer

from config.errors import RylaError
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.keys import check_id
from pipeline.jobs.download import fetch
from pipeline.jobs.status import JobView, State, finished_ids, look_up, read_result
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Show results; with --out, bring result.json, metrics.json and the outputs here.

Each output is checked against the sha256 in its result. Without ids, --all shows the newest: by
spend/, from the last day on, a request for every 1,000 jobs that ended on a day. Where spend/ does
not hold all of them (ryla spend --rebuild --since), the whole of jobs/ is listed.

Examples:

    ryla results portrait-1 --out pictures/

    ryla results --all --limit 20
"""


ROOMY = 130
"""Columns of a terminal in which keys fit beside the rest of a line."""
RECORDS = {"result.json", "metrics.json"}
"""Brought of every job."""


@dataclass(frozen=True)
class Line:
    view: JobView
    files: tuple[Path, ...] = ()
    error: RylaError | None = None

    def document(self) -> dict[str, Any]:
        error = {"error": output.fields_of(self.error)} if self.error else {}
        files = [str(file) for file in self.files]
        view = self.view
        return {"id": view.id, "state": view.state, "result": view.result, "files": files, **error}


def register(app: typer.Typer) -> None:
    @app.command("results", help=HELP)
    @output.command
    def command(
        ids: Annotated[list[str] | None, typer.Argument(metavar="[ID…]", help="Jobs.")] = None,
        out: Annotated[
            Path | None, typer.Option("--out", metavar="DIR", help="A folder per job goes there.")
        ] = None,
        every: Annotated[bool, typer.Option("--all", help="The newest of all jobs.")] = False,
        limit: Annotated[
            int, typer.Option("--limit", min=1, help="How many --all shows at most.")
        ] = 50,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        if bool(ids) == every:
            raise typer.BadParameter("name ids, or give --all for the newest of all jobs")
        settings = bucket_settings(state_dir)
        store = open_store(settings)
        wanted = [check_id(id) for id in ids] if ids else finished_ids(store, limit)
        with ThreadPoolExecutor(settings.dispatch_threads) as pool:
            lines = list(pool.map(lambda id: _one(store, id, out), wanted))
        if json:
            output.print_json({"results": [line.document() for line in lines]})
        else:
            _print(lines)
        for line in lines:
            if line.error:
                output.print_error(line.error, as_json=json, about=line.view.id)
        if any(line.error or not line.view.finished for line in lines):
            raise typer.Exit(1)


def _one(store: SafeStore, id: str, out: Path | None) -> Line:
    """Its failure touches no other job's."""
    try:
        return _read(store, id, out)
    except RylaError as error:
        return Line(JobView(id, State.FINISHED), error=error)


def _read(store: SafeStore, id: str, out: Path | None) -> Line:
    if out is None:
        return Line(read_result(store, id) or look_up(store, [id])[id])
    fetched = fetch(store, id, out)
    if fetched is None:
        return Line(look_up(store, [id])[id])
    return Line(JobView(id, State.FINISHED, fetched.result), fetched.files)


def _print(lines: Sequence[Line]) -> None:
    """In a narrow terminal what there is of a job stands below the table, in whole lines."""
    columns = ("=job", "kind", "=status", "=finished", "=>seconds", "=>cost", "outputs")
    console, rows = output.out(), list(map(_row, lines))
    if console.width >= ROOMY:
        console.print(output.table(None, columns, rows))
        return
    kept = [at for at, name in enumerate(columns) if name not in ("=finished", "outputs")]
    few = ([row[at] for at in kept] for row in rows)
    console.print(output.table(None, [columns[at] for at in kept], few))
    for row in rows:
        if row[-1]:
            output.print_text(f"{row[0]}\n{indent(str(row[-1]), '  ')}")


def _row(line: Line) -> tuple[object, ...]:
    result = line.view.result
    if result is None:
        return (line.view.id, None, "error" if line.error else line.view.state, *[None] * 4)
    return (
        result.id,
        result.model,
        result.status,
        f"{result.finished_at:%Y-%m-%d %H:%M:%S}",
        output.span(result.metrics.total if result.metrics else None),
        output.usd(result.cost.total_usd if result.cost else None),
        _outputs(line),
    )


def _why(error: ErrorInfo) -> str:
    return output.found_and_fix(f"{error.code}: {error.message}", error.hint)


def _outputs(line: Line) -> str:
    """What there is to look at: files here, else keys, else why there are none."""
    result = line.view.result
    if result is None or result.error is not None:
        return _why(result.error) if result and result.error else ""
    here = [str(file) for file in line.files if file.name not in RECORDS]
    return "\n".join(here or [each.key for each in result.outputs])

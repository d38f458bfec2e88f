"""`ryla sheets submit`: a file of characters becomes a batch of sheets."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn as Bar
from rich.progress import MofNCompleteColumn, Progress, TextColumn

from config.errors import BatchError, RylaError
from config.settings import Settings, listed
from pipeline.batches.batch import Batch, check_batch_name
from pipeline.batches.batch_reader import missing_jobs
from pipeline.batches.character_file import read_character_file
from pipeline.batches.estimate import BatchEstimate, require_within_budget
from pipeline.batches.problems import Problems
from pipeline.batches.rows import RowChecker, SheetRow
from pipeline.batches.submission import Sent, begin_batch, send_rows, standing_batch
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings, finite
from pipeline.contract.keys import is_name
from pipeline.inputs.remote import ImageFetcher
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Send a sheet for each row of a file of characters, CSV or JSONL.

The whole file is checked first; every row that is wrong is named, and then nothing is sent. The
columns are in docs/batches.md: `character`, `description`, `reference_images`, `lora_id`, `base`,
`views` and others. Pictures are files beside the table, several with | between.

The estimate is shown before anything is sent. Sending the same file under the same name again
continues a batch that was broken off.

Examples:

    ryla sheets submit characters.csv --name autumn --budget-usd 5

    ryla sheets submit characters.jsonl --name autumn --yes --json
"""


def register(group: typer.Typer) -> None:
    group.command("submit", help=HELP)(_submit)


@output.command
def _submit(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or JSONL.", exists=True, dir_okay=False)
    ],
    name: Annotated[
        str, typer.Option("--name", help="Of the batch: small letters, digits and hyphens.")
    ],
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Whose batch it is (RYLA_TENANT).")
    ] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option(
            "--budget-usd",
            metavar="USD",
            min=0,
            callback=finite,
            help="Refuse an estimate above it.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    check_batch_name(name)
    settings = bucket_settings(state_dir)
    store = open_store(settings)
    checker = _checker(settings, store, file, name, tenant)
    rows = _rows(checker, json)
    standing = standing_batch(store, name, checker.tenant, rows)
    missing = {row.id for row in rows} if standing is None else missing_jobs(store, standing)
    whole = BatchEstimate.of(rows)
    to_send = [row for row in rows if row.id in missing]
    if to_send:
        _tell(name, rows, to_send, whole, budget_usd)
        require_within_budget(whole, budget_usd)
        require_yes(len(to_send), yes=yes)
    batch = standing or begin_batch(
        store,
        Batch(
            name=name,
            tenant=checker.tenant,
            created_at=store.now(),
            rows=tuple(row.entry for row in rows),
            estimate_usd=whole.usd,
            most_usd=whole.most_usd,
            budget_usd=budget_usd,
        ),
        rows,
    )
    sent = _send(store, to_send, checker, settings.dispatch_threads)
    _answer(batch, sent, whole, as_json=json)
    if sent.failed:
        raise typer.Exit(1)


def _checker(
    settings: Settings, store: SafeStore, file: Path, name: str, tenant: str | None
) -> RowChecker:
    whose = tenant or settings.tenant
    if not is_name(whose):
        raise BatchError(
            f"{whose!r} is no tenant", field="--tenant", value=whose, hint="Such as acme."
        )
    fetcher = ImageFetcher(listed(settings.picture_hosts))
    runtime = load_runtime(settings, settings.engine)
    return RowChecker(store, runtime, name, whose, file, fetcher.fetch, settings.dispatch_threads)


def _rows(checker: RowChecker, as_json: bool) -> tuple[SheetRow, ...]:
    """Raises typer.Exit where a row is wrong, after all of them were told."""
    problems = Problems()
    found = read_character_file(checker.path, problems)
    rows = checker.check(found, problems)
    for problem in problems.told:
        output.print_error(problem, as_json=as_json, about=str(checker.path))
    if not problems.found:
        return rows
    if not as_json:
        more = f" {problems.untold} more are not shown." if problems.untold else ""
        count = len(problems.found)
        many = "1 problem" if count == 1 else f"{count} problems"
        output.err().print(f"{many}.{more} Nothing was sent.")
    raise typer.Exit(1)


def _tell(
    name: str,
    rows: Sequence[SheetRow],
    to_send: Sequence[SheetRow],
    whole: BatchEstimate,
    budget_usd: float | None,
) -> None:
    """On stderr: it is what a person is asked about."""
    begun = len(rows) - len(to_send)
    there = f", {begun} of them are there already" if begun else ""
    output.err().print(f"Batch {name}: {len(rows)} sheets{there}", soft_wrap=True, markup=False)
    budget = "none" if budget_usd is None else f"${budget_usd:g}"
    output.err().print(f"Estimate: {whole.text}; budget: {budget}", soft_wrap=True, markup=False)


def require_yes(count: int, *, yes: bool) -> None:
    """Raises BatchError where nobody can be asked, Abort where somebody says no."""
    if yes:
        return
    if not sys.stdin.isatty():
        why = "nothing was sent: nobody can be asked here"
        raise BatchError(why, field="--yes", hint="Look at the estimate, then give --yes.")
    sheets = "1 sheet" if count == 1 else f"{count} sheets"
    typer.confirm(f"Send {sheets}?", abort=True, err=True)


def _send(store: SafeStore, rows: Sequence[SheetRow], checker: RowChecker, threads: int) -> Sent:
    columns = (TextColumn("Sending"), Bar(), MofNCompleteColumn())
    console = output.err()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("", total=len(rows))
        return send_rows(
            store, rows, checker.prepare, threads, on_row=lambda: progress.advance(task)
        )


def _answer(batch: Batch, sent: Sent, whole: BatchEstimate, *, as_json: bool) -> None:
    for row, error in sent.failed.items():
        output.print_error(error, as_json=as_json, about=f"row {row}")
    there = len(batch.rows) - len(sent.sent) - len(sent.failed)
    if as_json:
        output.print_json(
            {
                "batch": batch.name,
                "tenant": batch.tenant,
                "sent": len(sent.sent),
                "already_there": there,
                "failed": len(sent.failed),
                "estimate": whole.document(),
                "budget_usd": batch.budget_usd,
                "jobs": [_job(row, sent.failed.get(row.row)) for row in batch.rows],
            }
        )
        return
    parts = [f"{len(sent.sent)} sent", f"{there} there already", f"{len(sent.failed)} failed"]
    said = ", ".join(part for part in parts if not part.startswith("0 "))
    output.print_text(f"Batch {batch.name}: {said}. `ryla sheets status {batch.name}` shows it.")


def _job(row: Any, error: RylaError | None) -> dict[str, Any]:
    said = {"row": row.row, "id": row.id, "character": row.character}
    return said if error is None else {**said, "error": output.fields_of(error)}

"""`ryla submit`: manifests into the inbox."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn as Bar
from rich.progress import MofNCompleteColumn, Progress, TextColumn

from config.errors import IdConflict, RylaError
from config.gpus import load_gpus
from config.routes import load_routes
from config.settings import Settings, listed
from pipeline.cli import output
from pipeline.cli.follow import follow, rows_of, tell_errors
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.cli.wait_notes import WaitNotes
from pipeline.inputs.remote import ImageFetcher
from pipeline.jobs.follow import Follower
from pipeline.jobs.manifest_files import Source, read_sources
from pipeline.jobs.quote import Quote, quote
from pipeline.jobs.status import JobView
from pipeline.jobs.submit import Options, Prepared, Receipt, Twins, prepare, submit
from pipeline.queue.stops import read_stops
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Send manifests: .json files, a folder of them, or JSONL with one manifest a line.

Each is checked here before anything is sent. The job's id is the file's name; a JSONL line may
carry an `id` beside the manifest's fields, and gets a new one without it. Sending the same manifest
under the same id again changes nothing, so a broken-off run is simply repeated. Two manifests of
one id in one run are an error, unless they say the same; with --keep-going the first is sent.

Pictures in picture fields may be data URLs, local files (`@face.png`, `file:face.png`, relative to
the manifest), or https URLs of the hosts in RYLA_PICTURE_HOSTS; they go under inputs/ first.

Examples:

    ryla submit portrait.json --wait 300

    ryla submit manifests/ more.jsonl --json
"""


@dataclass
class Line:
    """What became of one manifest."""

    source: str
    job: Prepared | None = None
    """None where it is not valid, or another with its id stands before it."""
    repeats: Prepared | None = None
    """The job that a line before this one asks for in the same words."""
    receipt: Receipt | None = None
    error: RylaError | None = None
    quote: Quote | None = None
    """None where it was not checked, and where no estimate can be made here."""

    def document(self) -> dict[str, Any]:
        job = self.job or self.repeats
        said: dict[str, Any] = {"source": self.source, "id": job.id if job else None}
        if self.receipt:
            said |= {
                "key": self.receipt.key,
                "sent": self.receipt.sent,
                "state": self.receipt.state,
                "status": self.receipt.status,
            }
        if self.quote:
            said |= {"estimate": self.quote.document(), "warnings": list(self.quote.warnings)}
        if self.error:
            said["error"] = output.fields_of(self.error)
        return said


def register(app: typer.Typer) -> None:
    @app.command("submit", help=HELP)
    @output.command
    def command(
        files: Annotated[
            list[Path], typer.Argument(metavar="FILE…", help="Files or folders.", exists=True)
        ],
        id: Annotated[
            str | None, typer.Option("--id", help="The id, for a single manifest.")
        ] = None,
        bare: Annotated[
            bool,
            typer.Option("--bare", help="Write `inbox/<id>.json` without priority, tenant, model."),
        ] = False,
        check: Annotated[
            bool, typer.Option("--check/--no-check", help="Validate first, or send as it is.")
        ] = True,
        keep_going: Annotated[
            bool, typer.Option("--keep-going", help="Send the valid ones though others are not.")
        ] = False,
        wait: Annotated[
            float | None,
            typer.Option("--wait", metavar="SECONDS", min=0, help="Follow them to their results."),
        ] = None,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        settings = bucket_settings(state_dir)
        fetcher = ImageFetcher(listed(settings.picture_hosts))
        options = Options(
            tenant=settings.tenant, id=id, bare=bare, check=check, fetch=fetcher.fetch
        )
        lines = prepare_lines(read_sources(files), options)
        if id is not None and len(lines) != 1:
            raise typer.BadParameter(
                f"it names one job, and there are {len(lines)} manifests", param_hint="--id"
            )
        report_errors(lines, json)
        if any(line.error for line in lines) and not keep_going:
            if not json:
                output.err().print("Nothing was sent. --keep-going sends the valid ones.")
            raise typer.Exit(1)
        store = open_store(settings)
        sent = [line for line in lines if line.job]
        _send(store, sent, settings.dispatch_threads)
        report_errors(sent, json)
        _tell_repeats(lines)
        _quote(sent, settings, store)
        _report_warnings(sent, json)
        views = None if wait is None else _wait(store, sent, wait, settings, quiet=json)
        _answer(lines, views, json)
        if any(line.error for line in lines) or (views and not all(v.succeeded for v in views)):
            raise typer.Exit(1)


def prepare_lines(sources: Iterator[Source], options: Options) -> list[Line]:
    """Each manifest checked, in its order; nothing is sent."""
    lines, twins = [], Twins()
    for source in sources:
        line = Line(source.name)
        try:
            job = prepare(source, options)
            if twins.is_repeat(source.name, job):
                line.repeats = job
            else:
                line.job = job
        except RylaError as error:
            line.error = error
        lines.append(line)
    return lines


def _tell_repeats(lines: Sequence[Line]) -> None:
    """What became of a job is said of each line that asks for it."""
    sent = {line.job.id: line for line in lines if line.job}
    for line in lines:
        if line.repeats:
            line.receipt, line.error = sent[line.repeats.id].receipt, sent[line.repeats.id].error


def report_errors(lines: Sequence[Line], as_json: bool) -> None:
    for line in lines:
        if line.error:
            output.print_error(line.error, as_json=as_json, about=line.source)


def _quote(lines: Sequence[Line], settings: Settings, store: SafeStore) -> None:
    stops, now = read_stops(store), store.now()
    gpus = load_gpus(settings.gpus_file).on(settings.engine)
    routes = load_routes(settings.routes_file, gpus=gpus)
    for line in lines:
        if line.job and line.job.manifest and line.receipt:
            manifest = line.job.manifest
            found = quote(manifest, settings, routes, gpus, now)
            ended = line.receipt.state.ended
            line.quote = found if found is None or ended else found.beside(stops, manifest)


def _report_warnings(lines: Sequence[Line], as_json: bool) -> None:
    for line in () if as_json else lines:
        for warning in line.quote.warnings if line.quote else ():
            output.err().print(escape(f"{line.source}: {warning}"), soft_wrap=True)


def _send(store: SafeStore, lines: Sequence[Line], threads: int) -> None:
    def one(line: Line) -> None:
        assert line.job is not None
        try:
            line.receipt = submit(store, line.job)
        except RylaError as error:
            line.error = error

    _in_threads(one, lines, threads)


def _in_threads(one: Callable[[Line], None], lines: Sequence[Line], threads: int) -> None:
    columns = (TextColumn("Sending"), Bar(), MofNCompleteColumn())
    console = output.err()
    with (
        Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as progress,
        ThreadPoolExecutor(threads) as pool,
    ):
        task = progress.add_task("", total=len(lines))
        for _ in pool.map(one, lines):
            progress.advance(task)


def _wait(
    store: SafeStore, lines: Sequence[Line], wait: float, settings: Settings, *, quiet: bool
) -> list[JobView]:
    """The jobs as they stand when all are finished or the time is over."""
    jobs = {line.job.id: line for line in lines if line.receipt and line.job}
    follower = Follower(store, list(jobs))
    sent = {id: line.job.manifest for id, line in jobs.items() if line.job and line.job.manifest}
    notes = None if quiet else WaitNotes.of(store, settings, sent)
    follow(follower, until=time.monotonic() + wait, quiet=quiet, notes=notes)
    for id, view in follower.views.items():
        line = jobs[id]
        assert line.job is not None
        if view.result and view.result.manifest_sha256 != line.job.sha256:
            line.error = IdConflict(
                f"the id {id} was used with another manifest, whose result this is",
                field="id",
                value=id,
            )
    return list(follower.views.values())


def _answer(lines: Sequence[Line], views: Sequence[JobView] | None, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {"jobs": [line.document() for line in lines]}
        if views is not None:
            document["results"] = [
                {"id": view.id, "state": view.state, "result": view.result} for view in views
            ]
        output.print_json(document)
    elif views is not None:
        output.out().print(rows_of(views))
        tell_errors(views)
    else:
        rows = [
            (
                line.receipt.id,
                line.receipt.sent,
                line.receipt.status or line.receipt.state,
                line.quote
                and output.usd_range(line.quote.estimate.usd, line.quote.estimate.most_usd),
            )
            for line in lines
            if line.receipt and line.job
        ]
        if rows:
            columns = ("=job", "sent", "state", ">estimate")
            output.out().print(output.table(None, columns, rows))

"""`ryla demo`: the whole pipeline on this machine, a bar for each job, then a table and checks."""

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from config.gpus import load_gpus
from config.logs import logs_into
from config.routes import load_routes
from config.settings import Settings, load_settings
from handlers.comfyui.info import STANDIN
from pipeline.cli import output
from pipeline.cli.options import Json
from pipeline.cli.signals import ends_on_signals
from pipeline.jobs.status import JobView
from pipeline.local.demo.batch import PAGE, DemoBatch, load_batch
from pipeline.local.demo.checks import check_run
from pipeline.local.demo.demo import DemoRun, prepare, run_demo
from pipeline.local.demo.manifests import EXAMPLES, Example, load_examples
from pipeline.local.demo.report import Report, make_report, write_report

HELP = """Run example manifests through the whole pipeline on this machine, and check the end.

An embedded store, the dispatcher and a worker are started, with a stand-in for ComfyUI unless
RYLA_COMFYUI_DIR or RYLA_COMFYUI_URL names a real one. The exit code is 0 only if every job ended as
its manifest expects.

Example:

    ryla demo --out out/try
"""


def register(app: typer.Typer) -> None:
    @app.command("demo", help=HELP)
    @output.command
    def command(
        out: Annotated[
            Path, typer.Option("--out", metavar="DIR", help="Where everything is put.")
        ] = Path("out/demo"),
        manifests: Annotated[
            Path,
            typer.Option(
                "--manifests",
                metavar="DIR",
                help="Others than the examples.",
                show_default="examples/manifests",
            ),
        ] = EXAMPLES,
        keep: Annotated[
            bool, typer.Option("--keep", help="Keep the store and the workers' folders.")
        ] = False,
        json: Json = False,
    ) -> None:
        with ends_on_signals():
            batch = load_batch(manifests)
            _demo(out, load_examples(manifests), batch, keep=keep, as_json=json)


def _demo(
    out: Path, examples: list[Example], batch: DemoBatch | None, *, keep: bool, as_json: bool
) -> None:
    settings = load_settings(os.environ)
    prepare(out)
    shown = [*examples, *(batch.examples if batch else ())]
    with logs_into(out / "demo.log", settings), JobBars(shown, shown=not as_json) as bars:
        run = run_demo(out, examples, settings, os.environ, bars.show, batch)
    report = _report(run, settings)
    page = write_report(report)
    if report.ok and not keep:
        shutil.rmtree(out / "state")
    if as_json:
        output.print_json(report.document())
    else:
        _print(report, page)
    if not report.ok:
        raise typer.Exit(1)


def _report(run: DemoRun, settings: Settings) -> Report:
    gpus = load_gpus(settings.gpus_file)
    routes = load_routes(settings.routes_file, gpus=gpus)
    return make_report(run, check_run(run), gpus, routes, datetime.now(UTC))


class JobBars:
    """A line for each job, fed from the leases."""

    def __init__(self, examples: list[Example], *, shown: bool) -> None:
        console = output.out()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not shown or not console.is_terminal,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {
            example.id: self._progress.add_task(escape(example.id), total=1.0, state="waiting")
            for example in examples
        }

    def show(self, views: Mapping[str, JobView]) -> None:
        for id, view in views.items():
            self._progress.update(self._tasks[id], completed=_fraction(view), state=_state(view))

    def __enter__(self) -> "JobBars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _fraction(view: JobView) -> float:
    if view.finished:
        return 1.0
    progress = view.lease.progress if view.lease else None
    return progress.fraction if progress else 0.0


def _state(view: JobView) -> str:
    if view.result is not None:
        return output.cell(view.result.status)
    progress = view.lease.progress if view.lease else None
    step = f" {escape(progress.step)}" if progress and progress.step else ""
    return output.cell(view.state) + step


def _print(report: Report, page: Path) -> None:
    console = output.out()
    console.print(_table(report))
    console.print()
    if report.engine == STANDIN:
        console.print(
            "Pictures, seconds and costs are the [bold]stand-in's[/]: no model ran. Estimates are"
            " for a warm GPU."
        )
    for check in report.checks:
        mark = "[green]ok[/]  " if check.ok else "[red]not[/] "
        console.print(f"{mark} {escape(check.text)}", soft_wrap=True)
        for fault in check.faults:
            console.print(f"      [red]{escape(fault)}[/]", soft_wrap=True)
    console.print()
    console.print(f"Report  {escape(str(page))}", soft_wrap=True)
    if report.run.batch:
        console.print(f"Batch   {escape(str(report.run.out / PAGE))}", soft_wrap=True)
    console.print(
        f"Files   {escape(str(report.run.out))}/jobs, batches, events.jsonl", soft_wrap=True
    )
    if not report.ok:
        log = report.run.out / "demo.log"
        console.print(f"[red]Not everything ended as it should.[/] Log: {log}", soft_wrap=True)


def _table(report: Report) -> Table:
    gpus = sorted({job.estimate_on for job in report.jobs if job.estimate_on})
    columns = (
        "job",
        "kind",
        "status",
        ">seconds",
        ">cost",
        f">estimate, {'/'.join(gpus)}",
        "output",
    )
    rows = []
    for job in report.jobs:
        outputs = job.result.outputs if job.result else ()
        said = outputs[0].key.rpartition("/")[2] if outputs else ""
        more = f" and {len(outputs) - 1} more" if len(outputs) > 1 else ""
        error = job.result.error if job.result else None
        rows.append(
            (
                job.id,
                job.example.model,
                job.status,
                None if job.seconds is None else f"{job.seconds:.2f}",
                "$0" if job.cost_usd == 0 else output.usd(job.cost_usd),
                output.usd_range(job.estimate_usd, job.estimate_most_usd),
                f"{error.code}: {error.hint or error.message}" if error else said + more,
            )
        )
    return output.table(None, columns, rows)

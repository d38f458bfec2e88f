"""What `ryla demo` shows: a bar for each job, then a table and the checks."""

from collections.abc import Mapping
from pathlib import Path

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.cli import output
from pipeline.jobs.status import JobView
from pipeline.local.demo.manifests import Example
from pipeline.local.demo.report import STANDIN, Report


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


def print_demo(report: Report, page: Path) -> None:
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
    console.print(f"Files   {escape(str(report.run.out))}/jobs, events.jsonl", soft_wrap=True)
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
                output.usd(job.estimate_usd),
                f"{error.code}: {error.hint or error.message}" if error else said + more,
            )
        )
    return output.table(None, columns, rows)

"""`ryla accept`: a deployment driven through the criteria of the requirements."""

import json as jsonlib
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.errors import InvalidInput
from config.settings import Settings
from pipeline.acceptance.acceptance_plan import RUN, Plan, PlanFile, read_plan
from pipeline.acceptance.http import Web
from pipeline.acceptance.jobs import Forecast
from pipeline.acceptance.run import Driver, Run, RunObserver, RunOptions
from pipeline.acceptance.run import Progress as Jobs
from pipeline.acceptance.summary import Acceptance, account, write_page
from pipeline.cli import output
from pipeline.cli.follow import progress
from pipeline.cli.options import Json, StateDir, bucket_settings, finite
from pipeline.pages.figure_text import usd
from pipeline.runtime import load_runtime
from pipeline.store.open import open_store

HELP = """Drive a deployment through the requirements' own criteria, and write a page of it.

It costs what its jobs cost: the estimate is told first, --max-cost-usd bounds it. Started again
under the same name it goes on where it ended, and pays nothing twice. docs/accept.md has the plan's
fields and what each criterion means. Exit code 0: nothing failed.

Examples:

    ryla accept --plan examples/accept/plan.toml --dry-run

    ryla accept --plan plan.toml --run second-try --url https://example.modal.run --max-cost-usd 5

    ryla accept --plan plan.toml --gpus L40S,A100-80GB,H100

    ryla accept --plan plan.toml --run in-fp8 --compare-precision in-bf16
"""
PAGE, DOCUMENT = "report.html", "report.json"


class JobsShown:
    """A bar that counts jobs, and what is done beside them."""

    def __init__(self, *, quiet: bool) -> None:
        self._console, self._quiet = output.err(), quiet
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        live = not quiet and self._console.is_terminal
        self._bar = Progress(
            *columns,
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not live,
        )
        self._task = self._bar.add_task("", total=None)

    def progress(self, jobs: Jobs) -> None:
        done = [view for view in jobs.views.values() if view.finished]
        running = [view for view in jobs.views.values() if not view.finished]
        at = "  ".join(f"{view.id} {progress(view) or view.state}" for view in running[:2])
        self._bar.update(
            self._task,
            total=len(jobs.priced_jobs),
            completed=len(done),
            description=escape(f"{usd(jobs.spent_usd)}  {at}"),
        )

    def said(self, text: str) -> None:
        if not self._quiet:
            self._console.print(f"[dim]{escape(text)}[/]", soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def register(app: typer.Typer) -> None:
    app.command("accept", help=HELP)(_accept)


@output.command
def _accept(
    plan: Annotated[
        Path, typer.Option("--plan", metavar="FILE", dir_okay=False, help="What to make.")
    ],
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="Of this run [the plan's].")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="Of the HTTP API, for /health and a job of each kind."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Of the HTTP API.", envvar="RYLA_CLIENT_KEY"),
    ] = None,
    gpus: Annotated[
        str, typer.Option("--gpus", metavar="A,B", help="Compare a kind on these GPUs.")
    ] = "",
    compare_precision: Annotated[
        str | None,
        typer.Option(
            "--compare-precision",
            metavar="NAME",
            help="Set beside an earlier run at another speed, with its seeds.",
        ),
    ] = None,
    max_cost_usd: Annotated[
        float | None,
        typer.Option(
            "--max-cost-usd",
            min=0,
            callback=finite,
            help="Stop before it costs more [the plan's].",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", file_okay=False, help="For the page [out/accept-NAME]."
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option("--patience", metavar="SECONDS", min=1, help="Without any progress."),
    ] = 1800,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the plan, tell the estimate, and end.")
    ] = False,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    file = read_plan(plan)
    options = replace(_options(file.plan, run, gpus, max_cost_usd, out), beside=compare_precision)
    settings = bucket_settings(state_dir)
    with JobsShown(quiet=json) as shown, Web.at(url, key) if url else nullcontext() as web:
        going = _run(file, options, settings, web, shown, patience)
        if not _looked_ahead(going, dry_run=dry_run, json=json):
            return
        acceptance = _went(going, shown)
    _answer(acceptance, options.out, json=json)
    if not acceptance.ok or acceptance.findings.stopped:
        raise typer.Exit(1)


def _run(
    file: PlanFile,
    options: RunOptions,
    settings: Settings,
    web: Web | None,
    shown: JobsShown,
    patience_s: float,
) -> Run:
    return Run(
        file,
        options,
        load_runtime(settings, settings.engine),
        Driver(open_store(settings), file.plan.at_once, options.bound_usd, patience_s),
        web,
        RunObserver(shown.progress, shown.said),
    )


def _options(
    plan: Plan, run: str | None, gpus: str, max_cost_usd: float | None, out: Path | None
) -> RunOptions:
    """What is given goes over what the plan says. Raises InvalidInput."""
    name = _name(run or plan.name)
    return RunOptions(
        name,
        out or Path("out") / f"accept-{name}",
        [each.strip() for each in gpus.split(",") if each.strip()],
        plan.max_cost_usd if max_cost_usd is None else max_cost_usd,
    )


def _name(name: str) -> str:
    if re.match(RUN, name):
        return name
    raise InvalidInput(
        f"{name!r} cannot be the name of a run",
        field="--run",
        value=name,
        hint="1 to 48 of a-z, 0-9 and -, a letter or digit first: ids of jobs begin with it.",
    )


def _looked_ahead(going: Run, *, dry_run: bool, json: bool) -> bool:
    """Whether to go on. Raises what is wrong with the plan, and OverBudget."""
    forecast = going.prepare()
    if not json:
        _print_forecast(going.options.run, forecast, billed=going.runtime.deployed)
    elif dry_run:
        output.print_json({"run": going.options.run, "forecast": forecast.document()})
    forecast.require_affordable()
    return not dry_run


def _went(going: Run, shown: JobsShown) -> Acceptance:
    try:
        findings = going.go()
    except KeyboardInterrupt:
        shown.said("Started again under this name it goes on, and sends nothing twice.")
        raise
    settings = going.runtime.settings
    return account(
        going.options.run, settings.bucket, going.forecast, findings, going.store, going.file.folder
    )


def _print_forecast(name: str, forecast: Forecast, *, billed: bool) -> None:
    there = f", {forecast.there} of them sent before" if forecast.there else ""
    untold = f"; of {forecast.untold} jobs nobody can tell" if forecast.untold else ""
    most = f" to {usd(forecast.most_usd)}" * (forecast.most_usd > forecast.expected_usd)
    warm = (
        f"{usd(forecast.expected_usd)}{most} on warm {', '.join(forecast.gpus) or 'GPUs'}{untold}"
    )
    bound = "no bound" if forecast.bound_usd is None else f"at most ${forecast.bound_usd:g}"
    beyond = "cold starts come on top" if billed else "a machine of your own bills nothing"
    output.print_text(
        f"Run      {name}: {forecast.jobs} jobs{there}\nExpected {warm}; {beyond}; {bound}"
    )


def _answer(acceptance: Acceptance, out: Path, *, json: bool) -> None:
    write_page(acceptance, out / PAGE)
    document = acceptance.document()
    (out / DOCUMENT).write_text(jsonlib.dumps(document, indent=1))
    if json:
        output.print_json(document)
        return
    _print_criteria(acceptance)
    _print_gpus(acceptance)
    _print_precision(acceptance)
    lines = [
        "",
        "Stand-in: this is no evidence of quality. No model made these pictures."
        if acceptance.standin
        else "",
        f"Stopped  {acceptance.findings.stopped}" if acceptance.findings.stopped else "",
        f"Cost     {usd(acceptance.usd)}",
        f"Page     {out / PAGE}",
    ]
    output.print_text("\n".join(line for n, line in enumerate(lines) if line or n == 0))


def _print_criteria(acceptance: Acceptance) -> None:
    columns = ("criterion", ">figure", "=verdict", "why")
    rows = [(each.name, each.figure, each.verdict, each.why) for each in acceptance.criteria]
    output.out().print()
    output.out().print(output.table(None, columns, rows))


def _print_gpus(acceptance: Acceptance) -> None:
    rows = [
        (
            each.gpu,
            each.pictures,
            output.span(each.warm_seconds),
            usd(each.warm_usd),
            output.span(each.cold_seconds),
            usd(each.cold_usd),
            each.why,
        )
        for each in acceptance.findings.gpus
    ]
    if rows:
        columns = ("=GPU", ">pictures", ">warm", ">dollars", ">cold job", ">dollars", "")
        output.out().print()
        output.out().print(output.table(None, columns, rows))


def _print_precision(acceptance: Acceptance) -> None:
    rows = [
        (
            each.after.job,
            "" if each.psnr is None else f"{each.psnr:.1f}",
            output.span(each.before.seconds),
            output.span(each.after.seconds),
            usd(each.before.usd),
            usd(each.after.usd),
            _match(each.before.match),
            _match(each.after.match),
            each.after.sampled,
        )
        for each in acceptance.precision
    ]
    if rows:
        sides = (">before", ">after", ">before", ">after", ">match", ">match")
        output.out().print()
        output.out().print(output.table(None, ("job", ">dB", *sides, "steps"), rows))


def _match(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"

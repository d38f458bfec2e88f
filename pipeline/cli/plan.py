"""`ryla plan`: what jobs will take, before they are sent."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from config.logs import configure_logs
from config.platforms import LOCAL
from config.settings import Settings, listed
from pipeline.cli import output
from pipeline.cli.options import (
    Json,
    StateDir,
    bucket_settings,
    finite,
    load_cli_settings,
    names_bucket,
    quieter,
    stack_in_use,
)
from pipeline.cli.plan_table import forecast_tables
from pipeline.cli.submit import prepare_lines, report_errors
from pipeline.forecast.deployment import Deployment, platforms_named
from pipeline.forecast.expected_job import ExpectedJob, sent_job
from pipeline.forecast.forecast import Forecast, forecast
from pipeline.forecast.history import NO_HISTORY, History, history_of
from pipeline.forecast.waiting_jobs import waiting_jobs
from pipeline.forecast.what_if import WhatIf, check_platform, what_if
from pipeline.inputs.remote import ImageFetcher
from pipeline.jobs.manifest_files import read_sources
from pipeline.jobs.submit import Options
from pipeline.report.results_reader import ResultsReader
from pipeline.report.span import since as since_when
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store

HELP = """Say what jobs will take: dollars, GPU seconds, time, cold starts. Nothing is sent.

FILES are read as `ryla submit` reads them; --bucket takes what waits in the bucket, and both may be
given. The queue is run in virtual time, by the rules that a dispatcher claims by. How long jobs
take is told from the results of the last days, where there are enough, and else from estimates;
docs/plan.md says how. Each figure is what is expected, and between which bounds it lies.

Examples:

    ryla plan manifests/

    ryla plan manifests/ --what-if gpus=H100 --what-if idle_s=10,max_containers=4

    ryla plan manifests/ --what-if platforms=modal+runpod,overflow_after_s=60

    ryla plan --bucket --platform modal --json
"""
USUAL = "as it is"
LONGEST_S = 366 * 86_400


@dataclass(frozen=True)
class _Load:
    """What is to be forecast."""

    jobs: list[ExpectedJob]
    begun: int = 0
    """Of them, those that somebody has claimed already."""
    unreadable: int = 0


def register(app: typer.Typer) -> None:
    app.command("plan", help=HELP)(_plan)


@output.command
def _plan(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE…]", help="Files or folders.", exists=True),
    ] = None,
    bucket: Annotated[
        bool, typer.Option("--bucket", help="What waits in the bucket, too.")
    ] = False,
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform",
            help="Where all of them run: local, modal, runpod. Else where each route names, or"
            " RYLA_ENGINE.",
        ),
    ] = None,
    over: Annotated[
        float,
        typer.Option(
            "--over",
            metavar="SECONDS",
            min=0,
            max=LONGEST_S,
            callback=finite,
            help="FILES come evenly in this time, not all at once.",
        ),
    ] = 0.0,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--what-if",
            metavar="CHANGES",
            help="Beside it, as it would be with gpus=H100,idle_s=30,max_containers=4,"
            "max_in_flight=8, platforms=modal+runpod,overflow_after_s=60 or platform=runpod; of one"
            " route: Flux.idle_s=30. May be repeated.",
        ),
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Results since then count.")
    ] = "7d",
    history: Annotated[
        bool, typer.Option("--history/--no-history", help="Whether results are read.")
    ] = True,
    state_dir: StateDir = None,
    json: Json = False,
) -> None:
    if not files and not bucket:
        raise typer.BadParameter("name manifests, or --bucket")
    others = [what_if(text) for text in changes or ()]
    settings = _settings(state_dir, needed=bucket)
    one = None if platform is None else check_platform(platform, "--platform")
    usual = load_runtime(settings, one or settings.engine)
    store = open_store(settings) if bucket or (history and _has_bucket(state_dir)) else None
    now = datetime.now(UTC) if store is None else store.now()
    load = _load(store if bucket else None, files or (), usual, now, over, json)
    past = NO_HISTORY
    if history and store is not None:
        results = ResultsReader(store, since_when(since, now))
        past = history_of(results, standin=usual.platform == LOCAL)
    found = _forecasts(load, usual, one, others, past, now)
    if json:
        output.print_json(_document(found, load, past))
    else:
        _print(found, load, past)


def _forecasts(
    load: _Load,
    usual: RuntimeConfig,
    platform: str | None,
    others: Sequence[WhatIf],
    past: History,
    now: datetime,
) -> list[Forecast]:
    """As it is, and then as it would be with each of the changes."""
    as_it_is = WhatIf(USUAL, {}, platform)
    return [
        forecast(each.text, load.jobs, _deployment(usual, each, platform), usual, past, now)
        for each in (as_it_is, *others)
    ]


def _deployment(usual: RuntimeConfig, change: WhatIf, platform: str | None) -> Deployment:
    """The platforms that routes name, as far as RYLA_PLATFORMS has them; one where it is given."""
    settings = usual.settings
    one = change.platform or platform
    default = one or settings.engine
    changed = change.apply(load_runtime(settings, default))
    if one is not None:
        return Deployment.of(changed)
    routes, bound = changed.routes.routes.values(), listed(settings.platforms)
    others = platforms_named(routes, default, bound)
    runtimes = {name: change.apply(load_runtime(settings, name)) for name in others}
    return Deployment({**runtimes, default: changed}, default)


def _has_bucket(state_dir: Path | None) -> bool:
    return names_bucket(os.environ) or stack_in_use(os.environ, state_dir) is not None


def _settings(state_dir: Path | None, *, needed: bool) -> Settings:
    """Without a bucket, estimates alone are told from."""
    if needed or _has_bucket(state_dir):
        return bucket_settings(state_dir)
    settings = load_cli_settings(os.environ, state_dir)
    configure_logs(quieter(settings, os.environ, "warning"))
    return settings


def _load(
    store: SafeStore | None,
    files: Sequence[Path],
    runtime: RuntimeConfig,
    now: datetime,
    over_s: float,
    as_json: bool,
) -> _Load:
    """Those of the bucket, and of the files. Exits where a manifest would not be sent."""
    settings = runtime.settings
    fetcher = ImageFetcher(listed(settings.picture_hosts))
    lines = prepare_lines(read_sources(files), Options(tenant=settings.tenant, fetch=fetcher.fetch))
    report_errors(lines, as_json)
    if any(line.error for line in lines):
        raise typer.Exit(1)
    prepared = [line.job for line in lines if line.job]
    sent = [
        sent_job(job.key, job.body, job.manifest, runtime, now, over_s * place / len(prepared))
        for place, job in enumerate(prepared)
        if job.manifest is not None
    ]
    if store is None:
        return _Load(sent)
    there = waiting_jobs(store, runtime)
    return _Load([*there.jobs, *sent], there.begun, there.unreadable)


def _document(found: Sequence[Forecast], load: _Load, past: History) -> dict[str, Any]:
    return {
        "forecasts": [each.document() for each in found],
        "begun": load.begun,
        "unreadable": load.unreadable,
        "results": past.results,
    }


def _print(found: Sequence[Forecast], load: _Load, past: History) -> None:
    for table in forecast_tables(found):
        output.out().print(table)
        output.out().print()
    output.print_text("\n".join(_notes(found[0], load, past)))


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _notes(usual: Forecast, load: _Load, past: History) -> list[str]:
    notes = {
        f"Not in it, because they will be refused: {_jobs(usual.refused)} above their"
        " max_cost_usd, or of a kind that no route runs": usual.refused,
        f"Not in it, because no estimate can be made: {_jobs(usual.unknown)}": usual.unknown,
        f"{load.begun} jobs are claimed or run already, and count whole": load.begun,
        f"{load.unreadable} entries of the inbox cannot become jobs, or went": load.unreadable,
        f"From {past.results} results": past.results,
        "From estimates alone: no result says how long these jobs take": not past.results,
    }
    return [f"{text}." for text, holds in notes.items() if holds]

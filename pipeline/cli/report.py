"""`ryla report`: what was made, what it cost, and how that stands against the requirements."""

import os
from pathlib import Path
from typing import Annotated

import typer

from config.gpus import load_gpus
from config.routes import RouteTable, load_routes
from config.settings import Settings, endpoints
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.report.bill import BillComparison, OwnSums, platform_names, whole_day
from pipeline.report.bill_file import read_bills
from pipeline.report.idle import idle_windows
from pipeline.report.metric_text import figure, percent, usd
from pipeline.report.modal_bill import Billing, beside
from pipeline.report.money import By
from pipeline.report.page import shortened, write_page
from pipeline.report.results_reader import ResultsReader
from pipeline.report.span import since as since_when
from pipeline.report.totals import Account, Report, sum_results
from pipeline.store.open import open_store

HELP = """Sum the results of a time: cost by day, tenant, kind and GPU, and the metrics of the
requirements against their targets.

What the stand-in made is counted apart: it is evidence of neither money nor quality. docs/report.md
has the definitions. It lists spend/ of the days asked for, a request for every 1,000 jobs that
ended on them, and reads each result once. Where spend/ does not hold all of these days, it lists
the whole of jobs/, and says so.

Examples:

    ryla report --since 24h

    ryla report --since 2026-11-01 --page report.html

    ryla report --since 7d --modal --json

    ryla report --since 2026-11-01 --bill modal.csv --bill runpod.json
"""


def register(app: typer.Typer) -> None:
    @app.command("report", help=HELP)
    @output.command
    def command(
        since: Annotated[
            str, typer.Option("--since", metavar="TIME", help="24h, 7d, 2026-11-01 …")
        ] = "7d",
        page: Annotated[
            Path | None,
            typer.Option("--page", metavar="FILE", dir_okay=False, help="Write it as HTML too."),
        ] = None,
        modal: Annotated[
            bool, typer.Option("--modal", help="Set it beside Modal's billing report.")
        ] = False,
        bill: Annotated[
            list[Path] | None,
            typer.Option(
                "--bill",
                metavar="FILE",
                exists=True,
                dir_okay=False,
                help="Set it beside an exported bill of Modal or RunPod, CSV or JSON. May be"
                " repeated.",
            ),
        ] = None,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        bills = read_bills(bill or ())
        settings = bucket_settings(state_dir)
        store = open_store(settings)
        until = store.now()
        begin = since_when(since, until)
        reading = ResultsReader(store, begin)
        windows = idle_windows(_routes(settings))
        own = OwnSums(windows)
        totals = sum_results(own.noting(reading), windows)
        billing = (
            beside(totals.real.ledger, begin, until, settings.modal_app, os.environ)
            if modal
            else None
        )
        names = platform_names(settings.modal_app, endpoints(settings))
        compared = own.beside(bills.rows, whole_day(begin, until), names) if bill else None
        files = bills if bill else None
        report = Report(settings.bucket, begin, until, totals, reading, billing, compared, files)
        if page is not None:
            write_page(report, page)
        if json:
            output.print_json(report.document())
        else:
            _print(report, page)


def _routes(settings: Settings) -> RouteTable:
    return load_routes(settings.routes_file, gpus=load_gpus(settings.gpus_file))


def _print(report: Report, page: Path | None) -> None:
    account = report.totals.real
    output.print_text(
        f"Bucket {report.bucket}, {report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M}"
        f" UTC: {account.jobs} jobs, {account.ledger.total.pictures} pictures,"
        f" {usd(account.ledger.total.total_usd)}\n"
    )
    _print_metrics(account)
    for dimension in By:
        _print_money(account, dimension)
    if report.bills is not None:
        _print_bills(report.bills)
    lines = [*_notes(report), *_billing(report.billing)]
    lines += [f"Bill     {note}" for note in report.bill_notes]
    if page is not None:
        lines.append(f"Page     {page}")
    output.print_text("\n".join(lines))


def _print_metrics(account: Account) -> None:
    columns = ("=metric", ">figure", "=target", "", ">of")
    rows = [
        (each.name, figure(each), each.target, each.verdict, f"{each.n} {each.of}")
        for each in account.tally.metrics()
    ]
    output.out().print(output.table(None, columns, rows))


def _print_money(account: Account, dimension: By) -> None:
    columns = (
        f"={dimension}",
        ">jobs",
        ">pictures",
        ">GPU s",
        ">dollars",
        ">cold",
        ">lost",
        ">in all",
        ">idle",
    )
    rows = [
        (
            name,
            money.jobs,
            money.pictures,
            f"{money.gpu_seconds:.1f}",
            usd(money.usd),
            percent(money.cold_share),
            usd(money.lost_usd),
            usd(money.total_usd),
            usd(money.idle_usd),
        )
        for name, money in shortened(account.ledger.rows(dimension))
    ]
    if rows:
        output.out().print()
        output.out().print(output.table(None, columns, rows))


def _print_bills(bills: BillComparison) -> None:
    columns = ("=bill", "=day", "=app or endpoint", ">ours", ">billed", ">drift", ">idle", ">rest")
    rows = [
        (
            line.platform,
            line.day,
            line.name,
            usd(line.sums.ours_usd),
            usd(line.sums.billed_usd),
            percent(line.sums.drift),
            usd(line.sums.idle_usd),
            usd(line.sums.rest_usd),
        )
        for line in bills.lines
    ]
    output.out().print()
    output.out().print(output.table(None, columns, rows))


def _notes(report: Report) -> list[str]:
    tally, total = report.totals.real.tally, report.totals.real.ledger.total
    ends = ", ".join(f"{count} {status}" for status, count in tally.ends.items())
    errors = ", ".join(f"{code} {count}" for code, count in tally.errors.most_common(12))
    faces = [f"{tally.faces.without_baseline} without a baseline"]
    faces += [f"{count} {reason}" for reason, count in tally.faces.unmeasured.most_common()]
    standin = report.totals.standin
    unread = report.reading
    notes = {
        "Ends": ends,
        "Errors": errors,
        "Faces": f"no match, and not in the share: {', '.join(faces)}"
        if tally.faces.without_baseline or tally.faces.unmeasured
        else "",
        "All in": f"{usd(report.totals.all_in_usd)} a picture, with failed jobs and lost attempts;"
        f" {usd(report.totals.with_idle_usd)} with the idle windows that are expected"
        if report.totals.all_in_usd
        else "",
        "Lost": f"an upper bound of {total.upper_bounds} jobs: until their attempts were given up"
        if total.upper_bounds
        else "",
        "Stand-in": f"{standin.jobs} jobs, {standin.ledger.total.pictures} pictures that no model"
        " made: in none of these figures, evidence of neither money nor quality"
        if standin.jobs
        else "",
        "Unread": f"{unread.unreadable} results cannot be read{_unread_usd(unread)}:"
        f" {', '.join(unread.named)}"
        if unread.unreadable
        else "",
        "Index": unread.why_listed or "",
    }
    return ["", *(f"{name:8} {text}" for name, text in notes.items() if text)]


def _unread_usd(reading: ResultsReader) -> str:
    if not reading.unreadable_usd:
        return ""
    return f", and their {usd(reading.unreadable_usd)} by spend/ are in no figure"


def _billing(billing: Billing | None) -> list[str]:
    if billing is None:
        return []
    if billing.why_not is not None:
        return [f"Modal    not compared: {billing.why_not}"]
    return [
        f"Modal    {day.day}: ours {usd(day.ours_usd)}, billed {usd(day.modal_usd)} for the app"
        f" {billing.app}, ratio {percent(day.ratio)}"
        for day in billing.with_whole
    ] + [f"Modal    billed for other apps in those days: {usd(billing.others_usd)}"]

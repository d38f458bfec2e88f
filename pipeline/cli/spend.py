"""`ryla spend`: what was spent today, against the budgets."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.contract.spend_entry import BODY, SpendEntry
from pipeline.queue.budgets import Account, Ledger
from pipeline.queue.spend_reader import read_spend
from pipeline.report.results_reader import ResultsReader
from pipeline.report.spend_sums import Sums, sum_spend
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore, Won
from pipeline.store.open import open_store

HELP = """What ended jobs have cost today, by tenant, platform, kind and batch, against the budgets.

A day is one of UTC, by the end of the job. The sums are those of the objects under spend/, so a day
costs a LIST for every 1,000 jobs that ended on it. What running jobs may cost yet is not in it.

Examples:

    ryla spend

    ryla spend --day 2026-11-01 --json

    ryla spend --day 2026-11-01 --rebuild
"""


def register(app: typer.Typer) -> None:
    @app.command("spend", help=HELP)
    @output.command
    def command(
        day: Annotated[
            datetime | None,
            typer.Option("--day", formats=["%Y-%m-%d"], help="Of UTC; else today."),
        ] = None,
        rebuild: Annotated[
            bool,
            typer.Option(
                "--rebuild",
                help="First write what is missing of that day, from its results: lists jobs/.",
            ),
        ] = False,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        settings = bucket_settings(state_dir)
        store = open_store(settings)
        wanted = store.now().astimezone(UTC).date() if day is None else day.date()
        written = _rebuild(store, wanted) if rebuild else None
        entries = list(read_spend(store, wanted))
        runtime = load_runtime(settings, settings.engine)
        ledger = Ledger(runtime.budgets, wanted, runtime.platform)
        ledger.add_ended(entries)
        for listed_day, tenant in runtime.budgets.prefixes(wanted):
            if listed_day != wanted:
                ledger.add_ended(read_spend(store, listed_day, tenant))
        sums = sum_spend(entries)
        if json:
            output.print_json(_document(wanted, sums, ledger, written))
        else:
            _print(wanted, sums, ledger, written)


def _rebuild(store: SafeStore, day: date) -> int:
    """How many objects were missing. One that stands and should not is left."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    found = (SpendEntry.of(result) for result in ResultsReader(store, begin))
    mine = (entry.key for entry in found if entry.day == day)
    outcomes = (store.create(key, BODY) for key in mine)
    return sum(isinstance(outcome, Won) and outcome.fresh for outcome in outcomes)


def _budgets(ledger: Ledger) -> Iterable[tuple[Account, float, float]]:
    for account in ledger.accounts():
        yield account, ledger.used(account), ledger.limit(account)


def _document(day: date, sums: Sums, ledger: Ledger, written: int | None) -> dict[str, Any]:
    return {
        "day": day.isoformat(),
        "sums": {
            dimension: [{"name": name, "jobs": sum.jobs, "usd": sum.usd} for name, sum in rows]
            for dimension, rows in sums.items()
        },
        "budgets": [
            {
                "budget": account.row,
                "tenant": account.tenant,
                "usd": limit,
                "spent_usd": used,
                "on_exceeded": ledger.table.budgets[account.row].on_exceeded,
            }
            for account, used, limit in _budgets(ledger)
        ],
        "written": written,
    }


def _print(day: date, sums: Sums, ledger: Ledger, written: int | None) -> None:
    if written is not None:
        output.out().print(f"{written} objects of {day} were missing")
    for dimension, rows in sums.items():
        shown = [(name, sum.jobs, output.usd(sum.usd)) for name, sum in rows]
        columns = (f"={dimension}", ">jobs", ">dollars")
        output.out().print(output.table(None, columns, shown))
    budgets = [
        (account, output.usd(used), output.usd(limit), f"{used / limit:.0%}")
        for account, used, limit in _budgets(ledger)
    ]
    if budgets:
        heads = ("=budget", ">spent", ">of", ">share")
        output.out().print(output.table("Budgets", heads, budgets))

"""`ryla spend`: what was spent today, against the budgets."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import typer

from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.contract.spend_entry import BODY, SpendEntry, since_key
from pipeline.queue.budgets import Account, Ledger
from pipeline.queue.ended_costs import EndedCosts
from pipeline.queue.spend_reader import FIRST, read_spend
from pipeline.report.results_reader import ResultsReader
from pipeline.report.spend_sums import Sums, sum_spend
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore, Won
from pipeline.store.open import open_store

HELP = """What ended jobs have cost today, by tenant, platform, kind and batch, against the budgets.

A day is one of UTC, by the end of the job. The sums are those of the objects under spend/, so a day
costs a LIST for every 1,000 jobs that ended on it. What running jobs may cost yet is not in it.

spend/ is also the index by which reports find the jobs of a day. A bucket that is older than spend/
gets it by --rebuild --since, once no worker of such a version runs any more: from then on nothing
lists the whole of jobs/ for the days since.

Examples:

    ryla spend

    ryla spend --day 2026-11-01 --json

    ryla spend --day 2026-11-01 --rebuild

    ryla spend --rebuild --since 2026-01-01
"""
LAST = date(2100, 1, 1)
WRITERS = 16
"""Objects written side by side."""
PART = 1000
"""Results whose objects are written before the next are read."""


@dataclass(frozen=True)
class Rebuilt:
    written: int
    """Objects that were missing."""
    unreadable: int
    """Results that cannot be read, of which nothing is noted."""
    named: list[str]
    """The keys of the first of them."""


def register(app: typer.Typer) -> None:
    @app.command("spend", help=HELP)
    @output.command
    def command(
        day: Annotated[
            datetime | None,
            typer.Option(
                "--day", formats=["%Y-%m-%d"], callback=_of_jobs, help="Of UTC; else today."
            ),
        ] = None,
        rebuild: Annotated[
            bool,
            typer.Option(
                "--rebuild",
                help="First write what is missing of that day, from its results: lists jobs/.",
            ),
        ] = False,
        since: Annotated[
            datetime | None,
            typer.Option(
                "--since",
                formats=["%Y-%m-%d"],
                callback=_of_jobs,
                help="With --rebuild: of this UTC day and all later ones; says then that nothing"
                " is missing of them.",
            ),
        ] = None,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        if since is not None and (not rebuild or day is not None):
            raise typer.BadParameter("--since goes with --rebuild, and without --day")
        settings = bucket_settings(state_dir)
        store = open_store(settings)
        wanted = store.now().astimezone(UTC).date() if day is None else day.date()
        rebuilt = _rebuild(store, wanted, since) if rebuild else None
        runtime = load_runtime(settings, settings.engine)
        ledger = Ledger(runtime.budgets, wanted, runtime.platform)
        costs = EndedCosts()
        sums = sum_spend(costs.noting(read_spend(store, wanted)))
        ledger.add_costs(costs)
        for listed_day, tenant in runtime.budgets.prefixes(wanted):
            if listed_day != wanted:
                ledger.add_ended(read_spend(store, listed_day, tenant))
        if json:
            output.print_json(_document(wanted, sums, ledger, rebuilt))
        else:
            _print(sums, ledger, rebuilt)


def _of_jobs(day: datetime | None) -> datetime | None:
    """Raises BadParameter for a day on which no job can have ended."""
    if day is None or FIRST <= day.date() < LAST:
        return day
    raise typer.BadParameter(f"jobs end from {FIRST} on, and before {LAST}")


def _rebuild(store: SafeStore, day: date, since: datetime | None) -> Rebuilt:
    """Of the day, or of all since the other. An object that stands and should not is left."""
    begin = since or datetime(day.year, day.month, day.day)
    begin = begin.replace(tzinfo=UTC)
    until = None if since else begin + timedelta(days=1)
    reading, written = ResultsReader(store, begin, until, lists_jobs=True), 0
    keys = (SpendEntry.of(result).key for result in reading)
    with ThreadPoolExecutor(WRITERS, "spend") as pool:
        while part := list(islice(keys, PART)):
            outcomes = pool.map(lambda key: store.create(key, BODY), part)
            written += sum(isinstance(outcome, Won) and outcome.fresh for outcome in outcomes)
    if since is not None:
        store.create(since_key(begin.date()), BODY)
    return Rebuilt(written, reading.unreadable, reading.named)


def _budgets(ledger: Ledger) -> Iterable[tuple[Account, float, float]]:
    for account in ledger.accounts():
        yield account, ledger.used(account), ledger.limit(account)


def _document(day: date, sums: Sums, ledger: Ledger, rebuilt: Rebuilt | None) -> dict[str, Any]:
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
        "written": rebuilt and rebuilt.written,
        "unreadable": rebuilt and rebuilt.unreadable,
        "unreadable_keys": rebuilt and rebuilt.named,
    }


def _print(sums: Sums, ledger: Ledger, rebuilt: Rebuilt | None) -> None:
    if rebuilt is not None:
        output.print_text(f"{rebuilt.written} objects were missing")
    if rebuilt is not None and rebuilt.unreadable:
        named = ", ".join(rebuilt.named)
        output.print_text(f"{rebuilt.unreadable} results cannot be read, and have none: {named}")
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

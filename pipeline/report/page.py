"""A report as one page that loads nothing from anywhere."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.contract.result import Status
from pipeline.pages.chart import Chart, columns
from pipeline.pages.html import render as render_page
from pipeline.report.metric_text import figure
from pipeline.report.money import By, Ledger, Money
from pipeline.report.totals import Report

MOST_ROWS = 40
"""Of tenants, kinds or GPUs; the rest is added up in one row."""


def write_page(report: Report, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(report), "utf-8")


def render(report: Report) -> str:
    ledger = report.totals.real.ledger
    return render_page(
        "pipeline.report",
        "report.html.j2",
        {"figure": figure},
        report=report,
        metrics=list(report.totals.real.tally.metrics()),
        dollars=dollars_a_day(ledger),
        jobs=jobs_a_day(ledger),
        tables=[(each.value, shortened(ledger.rows(each))) for each in By],
    )


def dollars_a_day(ledger: Ledger) -> Chart:
    return columns(
        {
            day: {
                "warm": money.usd - money.cold_usd,
                "cold": money.cold_usd,
                "lost": money.lost_usd,
            }
            for day, money in ledger.rows(By.DAY)
        }
    )


def jobs_a_day(ledger: Ledger) -> Chart:
    return columns(
        {
            day: {status.value: float(money.ends[status]) for status in Status}
            for day, money in ledger.rows(By.DAY)
        }
    )


def shortened(rows: Sequence[tuple[str, Money]]) -> Sequence[tuple[str, Money]]:
    """The first ones, and the others added up."""
    if len(rows) <= MOST_ROWS:
        return rows
    rest = Money()
    for _, money in rows[MOST_ROWS:]:
        rest += money
    return [*rows[:MOST_ROWS], (f"{len(rows) - MOST_ROWS} more", rest)]

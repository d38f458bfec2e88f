"""A report: results of a span added up, what the stand-in made apart."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.contract.result import Result
from pipeline.report.bill import BillComparison
from pipeline.report.bill_file import Bills
from pipeline.report.bill_notes import bill_notes
from pipeline.report.idle import NO_WINDOWS, IdleShares, IdleWindows
from pipeline.report.modal_bill import Billing
from pipeline.report.money import Ledger
from pipeline.report.platform import is_standin
from pipeline.report.results_reader import ResultsReader
from pipeline.report.targets import Tally


@dataclass
class Account:
    """What was made and what it cost, of the same results."""

    tally: Tally = field(default_factory=Tally)
    ledger: Ledger = field(default_factory=Ledger)

    def add(self, result: Result) -> None:
        self.tally.add(result)
        self.ledger.add(result)

    @property
    def jobs(self) -> int:
        return self.ledger.total.jobs

    def document(self) -> dict[str, Any]:
        return {**self.tally.document(), "money": self.ledger.document()}


@dataclass
class Totals:
    real: Account = field(default_factory=Account)
    """With the jobs that reached no ComfyUI at all: refused, cancelled, or given up."""
    standin: Account = field(default_factory=lambda: Account(Tally(standin=True)))
    """What no model made: evidence of neither money nor quality."""

    @property
    def all_in_usd(self) -> float | None:
        """All dollars over the pictures that came of them: failed jobs and lost attempts too."""
        total = self.real.ledger.total
        return total.total_usd / total.pictures if total.pictures and total.total_usd else None

    @property
    def with_idle_usd(self) -> float | None:
        """The same with the idle windows that are expected beside it."""
        total = self.real.ledger.total
        if self.all_in_usd is None:
            return None
        return (total.total_usd + total.idle_usd) / total.pictures


@dataclass(frozen=True)
class Report:
    """Everything that `ryla report` shows."""

    bucket: str
    since: datetime
    until: datetime
    totals: Totals
    reading: ResultsReader
    billing: Billing | None = None
    """None when it was not asked for."""
    bills: BillComparison | None = None
    """None without bills."""
    bill_files: Bills | None = None
    """What they were read from."""

    @property
    def bill_notes(self) -> list[str]:
        if self.bills is None or self.bill_files is None:
            return []
        return list(bill_notes(self.bills, self.bill_files))

    def document(self) -> dict[str, Any]:
        whole = self.reading.whole_since
        return {
            "bucket": self.bucket,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            **self.totals.real.document(),
            "all_in_usd_a_picture": self.totals.all_in_usd,
            "with_idle_usd_a_picture": self.totals.with_idle_usd,
            "standin": self.totals.standin.document() if self.totals.standin.jobs else None,
            "read": {
                "objects": self.reading.objects,
                "results": self.reading.found,
                "unreadable": self.reading.unreadable,
                "unreadable_keys": self.reading.named,
                "unreadable_usd": round(self.reading.unreadable_usd, 4),
                "lists_jobs": self.reading.lists_jobs,
                "whole_since": None if whole is None else whole.isoformat(),
            },
            "modal": self.billing.document() if self.billing else None,
            "bills": self.bills.document() if self.bills else None,
            "bill_files": self.bill_files.document() if self.bill_files else None,
        }


def sum_results(results: Iterable[Result], windows: IdleWindows = NO_WINDOWS) -> Totals:
    """`windows` are those of the routes' workers; without them nothing is said of idle time."""
    totals = Totals(real=Account(ledger=Ledger(idle=IdleShares(windows))))
    for result in results:
        (totals.standin if is_standin(result) else totals.real).add(result)
    return totals

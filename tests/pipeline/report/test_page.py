from html.parser import HTMLParser

from pipeline.contract.result import Result, Status
from pipeline.report.bill import BillComparison, BillLine, Sums
from pipeline.report.bill_file import Bills
from pipeline.report.modal_bill import Billing, Day
from pipeline.report.money import By, Ledger
from pipeline.report.page import MOST_ROWS, jobs_a_day, render, shortened
from pipeline.report.results_reader import ResultsReader
from pipeline.report.totals import Report, sum_results
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.report_results import NOON, days_ago, output, refused, result


def page(
    *results: Result, billing: Billing | None = None, bills: BillComparison | None = None
) -> str:
    reading = ResultsReader(SafeStore(MemoryStore()), days_ago(7))
    files = Bills([], [], 0, [])
    totals = sum_results(results)
    return render(Report("ryla", days_ago(7), NOON, totals, reading, billing, bills, files))


class Links(HTMLParser):
    """What a page would load."""

    found: list[str]

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value for name, value in attrs if name in ("src", "href") and value is not None
        ]


def test_it_shows_figures_against_targets_and_money() -> None:
    shown = page(
        result(usd=0.25, seconds=12, outputs=(output(0.9), output(face=True))),
        result(status=Status.FAILED, error="node_failed", usd=0.5, tenant="globex"),
        refused(),
    )

    for text in ("2 pictures", "more than 95 %", "missed", "$0.2500", "globex", "node_failed"):
        assert text in shown
    assert "without a match: 1" in shown
    assert 'aria-label="Dollars by day"' in shown
    assert "stand-in" not in shown


def test_it_loads_nothing_and_escapes_what_callers_named() -> None:
    shown = page(result(tenant="<script>alert(1)</script>"))

    assert all(link.startswith("data:") for link in Links(shown).found)
    assert "<script>" not in shown


def test_it_says_what_no_model_made() -> None:
    shown = page(result(engine="standin"))

    assert "1 further jobs were made by the stand-in" in shown
    assert "no jobs" in shown


def test_the_bill_or_why_there_is_none_is_on_it() -> None:
    billed = page(result(), billing=Billing("ryla", [Day("2026-11-19", 3.0, 4.0)], 1.5))
    not_billed = page(result(), billing=Billing("ryla", why_not="no Team plan"))

    assert "75.0 %" in billed
    assert "Not compared: no Team plan." in not_billed


def test_exported_bills_are_on_it() -> None:
    lines = [BillLine("runpod", "2026-11-19", "Flux", Sums(ours_usd=3, idle_usd=0.5, billed_usd=4))]
    shown = page(
        result(),
        bills=BillComparison(lines, [("runpod", "", 0.25)], ["2026-11-18"], 1.0, 0.0, [], 0.0),
    )

    assert "-25.0 %" in shown
    assert "unnamed $0.2500" in shown
    assert "1 days, $1.0000, are not compared" in shown
    assert "Beside exported bills" not in page(result())


def test_jobs_are_drawn_by_how_they_ended() -> None:
    made = sum_results([result(), refused(), refused("again")]).real.ledger

    assert jobs_a_day(made).parts == ["succeeded", "rejected"]


def test_no_more_days_are_named_than_have_room() -> None:
    shown = page(*(result(f"j{n}", finished_at=days_ago(n)) for n in range(60)))

    assert shown.count('text-anchor="middle">2026-') == 2 * 12


def test_long_tables_end_in_a_sum() -> None:
    made = Ledger()
    for n in range(MOST_ROWS + 5):
        made.add(result(tenant=f"t{n}", usd=1))

    rows = shortened(made.rows(By.TENANT))

    assert len(rows) == MOST_ROWS + 1
    assert (rows[-1][0], rows[-1][1].usd) == ("5 more", 5)

from pipeline.report.bill import BillComparison, BillLine, Sums
from pipeline.report.bill_file import Billed, BillFile, Bills
from pipeline.report.bill_notes import MOST_NAMED, bill_notes

ROW = Billed("modal", "2026-11-19", "ryla", 0.75)
LINE = BillLine("modal", "2026-11-19", "ryla", Sums(0.5, 0.25, 0, 0.75))


def test_a_plain_comparison_says_what_the_files_hold_and_what_cold_starts_took() -> None:
    found = BillComparison([LINE], [], [], 0, 0, ["main"], 0)
    first, file, empty = bill_notes(
        found, Bills([BillFile("a.csv", [ROW, ROW]), BillFile("b.json", [])], [ROW], 0, [])
    )

    assert first.startswith("of ours $0.2500 paid for cold starts")
    assert file == "a.csv, modal: 2 rows, $1.5000, 2026-11-19 to 2026-11-19"
    assert empty == "b.json has no rows"


def test_all_that_could_mislead_is_told_and_long_lists_are_cut() -> None:
    days = [f"2026-11-{day:02}" for day in range(1, 10)]
    found = BillComparison([], [("modal", "", 2.0)], days, 9.0, 3.0, ["dev", "main"], 0.5)
    said = " | ".join(bill_notes(found, Bills([], [], 2, [("modal", "2026-11-19", "ryla")])))

    for text in (
        "2 rows stand in the files again",
        "several files have rows of ryla 2026-11-19:",
        "none of ours: unnamed $2.0000",
        "several environments are added up: dev, main",
        "credits of $3.0000",
        "9 days, $9.0000, are not compared",
        f"{days[MOST_NAMED - 1]} …",
        "$0.5000 of ours in no line",
    ):
        assert text in said
    assert days[MOST_NAMED] not in said

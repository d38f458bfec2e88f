import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.report.modal_bill import NoBilling, beside, parse, whole_days
from pipeline.report.money import Ledger
from tests.support.report_results import result

SINCE, UNTIL = datetime(2026, 11, 18, 9, tzinfo=UTC), datetime(2026, 11, 21, 9, tzinfo=UTC)
ROWS = [
    ("ap-1", "ryla", "2026-11-19T00:00:00", "0.75"),
    ("ap-1", "ryla", "2026-11-20T00:00:00", "0.25"),
    ("ap-2", "another", "2026-11-20T00:00:00", "9.5"),
]
KEYS = ("object_id", "description", "interval_start", "cost")
ANSWER = json.dumps([{**dict(zip(KEYS, row, strict=True)), "environment": "main"} for row in ROWS])
Cli = Callable[..., dict[str, str]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A program named modal on a PATH of its own, and the variables that find it."""

    def make(answer: str = "", said: str = "", code: int = 0) -> dict[str, str]:
        (tmp_path / "answer").write_text(answer)
        (tmp_path / "said").write_text(said)
        program = tmp_path / "modal"
        program.write_text(
            f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n'
            f"cat {tmp_path}/answer\ncat {tmp_path}/said >&2\nexit {code}\n"
        )
        program.chmod(0o755)
        return {"PATH": f"{tmp_path}:{os.defpath}"}

    return make


def ledger() -> Ledger:
    made = Ledger()
    made.add(result(finished_at=datetime(2026, 11, 18, 12, tzinfo=UTC), usd=7))
    made.add(result(finished_at=datetime(2026, 11, 19, 12, tzinfo=UTC), usd=0.4, lost_usd=0.2))
    return made


def test_whole_days_are_set_beside_the_bill(cli: Cli, tmp_path: Path) -> None:
    billing = beside(ledger(), SINCE, UNTIL, "ryla", cli(ANSWER))

    assert billing.why_not is None
    assert [(day.day, day.modal_usd) for day in billing.days] == [
        ("2026-11-19", 0.75),
        ("2026-11-20", 0.25),
    ]
    assert billing.days[0].ratio == pytest.approx(0.8)
    assert billing.days[1].ratio == 0
    assert billing.whole.ratio == pytest.approx(0.6)
    assert billing.others_usd == 9.5
    asked = (tmp_path / "asked").read_text()
    assert "billing report --json --resolution d" in asked
    assert "--start 2026-11-19 --end 2026-11-21" in asked


def test_a_plan_without_the_report_is_told_as_modal_tells_it(cli: Cli) -> None:
    said = "╭─ Error ─╮\n│ Billing reports need a Team plan │\n╰─╯"
    billing = beside(ledger(), SINCE, UNTIL, "ryla", cli(said=said, code=1))

    assert billing.why_not is not None
    assert "Billing reports need a Team plan" in billing.why_not
    assert "│" not in billing.why_not
    assert billing.document()["all"] is None


def test_a_program_that_does_not_run_is_told(cli: Cli, tmp_path: Path) -> None:
    environ = cli()
    (tmp_path / "modal").write_text("#!/no/such/interpreter\n")

    assert "did not answer" in (beside(ledger(), SINCE, UNTIL, "ryla", environ).why_not or "")


@pytest.mark.parametrize("text", ["no json", "{}x", '[{"cost": "1"}]', '["row"]', "7"])
def test_an_unknown_answer_is_told_as_one(text: str) -> None:
    with pytest.raises(NoBilling, match="something unknown"):
        parse(text)


def test_nothing_billed_is_an_empty_answer() -> None:
    assert parse("[]") == parse("") == []


def test_only_whole_days_of_utc_compare() -> None:
    midnight = datetime(2026, 11, 18, tzinfo=UTC)

    assert whole_days(midnight, UNTIL)[0] == midnight
    assert whole_days(SINCE, UNTIL)[0].day == 19
    with pytest.raises(NoBilling, match="no whole day"):
        whole_days(datetime(2026, 11, 20, 9, tzinfo=UTC), UNTIL)

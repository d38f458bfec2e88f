from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.contract.result import Result
from pipeline.report.bill import ALL, BillComparison, OwnSums, platform_names, whole_day
from pipeline.report.bill_file import Billed
from pipeline.report.idle import IdleWindow
from tests.support.report_results import days_ago, event_of, result

NAMES = platform_names("ryla", {"Flux": "abc", "Flux@H100": "def"})
WINDOWS = {"flux-dev": IdleWindow("Flux", 60)}
TODAY, YESTERDAY = "2026-11-20", "2026-11-19"


def on(platform: str, **fields: Any) -> Result:
    return result(**fields, events=(event_of(platform),))


def compared(results: list[Result], *bills: Billed) -> BillComparison:
    own = OwnSums(WINDOWS)
    assert list(own.noting(results)) == results
    return own.beside(bills, lambda day: day in (TODAY, YESTERDAY), NAMES)


def test_an_app_stands_beside_its_jobs_by_day() -> None:
    found = compared(
        [
            on("modal", usd=0.3, lost_usd=0.1, cold_usd=0.2, cold=20, seconds=10),
            on("modal", usd=0.2, finished_at=days_ago(1)),
        ],
        Billed("modal", YESTERDAY, "ryla", 0.25),
        Billed("modal", TODAY, "ryla", 1.0),
        Billed("modal", TODAY, "ryla", 0.25),
    )
    yesterday, today, whole = found.lines

    assert yesterday.day == YESTERDAY
    assert yesterday.sums.drift == pytest.approx(-0.2)
    assert today.sums.ours_usd == pytest.approx(0.4)
    assert today.sums.billed_usd == 1.25
    assert today.sums.cold_usd == 0.2
    assert today.sums.idle_usd == pytest.approx(60 * 0.3 / 30)
    assert today.sums.rest_usd == pytest.approx(1.25 - 0.4 - 0.6)
    assert (whole.day, whole.sums.billed_usd) == (ALL, 1.5)
    assert whole.document()["drift"] == pytest.approx(-0.6)


def test_endpoints_of_a_route_stand_together_and_apart_from_the_app() -> None:
    found = compared(
        [on("runpod", usd=0.5), on("modal", usd=7), on("runpod", usd=0.1, model="z-image-turbo")],
        Billed("runpod", TODAY, "abc", 0.4),
        Billed("runpod", TODAY, "def", 0.2),
    )

    assert [(line.name, line.sums.ours_usd, line.sums.billed_usd) for line in found.lines] == [
        ("(no endpoint)", 0.1, 0),
        ("Flux", 0.5, pytest.approx(0.6)),
        (ALL, 0.6, pytest.approx(0.6)),
    ]
    assert found.lines[0].sums.drift is None


def test_what_is_none_of_ours_is_told_by_name() -> None:
    found = compared(
        [],
        Billed("modal", TODAY, "another", 9.0),
        Billed("runpod", TODAY, "", 0.8),
        Billed("runpod", YESTERDAY, "", 0.8),
    )

    assert found.lines == []
    assert found.others == [("modal", "another", 9.0), ("runpod", "", 1.6)]


def test_days_that_the_report_does_not_hold_are_told_and_not_compared() -> None:
    found = compared([], Billed("modal", "2026-10-01", "ryla", 9.0))

    assert (found.lines, found.outside, found.outside_usd) == ([], ["2026-10-01"], 9.0)
    assert found.document()["days_outside"] == ["2026-10-01"]


def test_a_job_that_says_no_platform_is_told_apart_and_the_stand_in_is_nobodys() -> None:
    found = compared(
        [on("", usd=0.2), on("modal", usd=0.1), on("standin", usd=5, engine="standin")],
        Billed("modal", TODAY, "ryla", 0.1),
    )

    assert found.unplaced_usd == 0.2
    assert found.lines[0].sums.ours_usd == 0.1


def test_a_day_is_whole_from_midnight_to_midnight_of_utc() -> None:
    is_whole = whole_day(datetime(2026, 11, 18, 9, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC))
    days = ("2026-11-18", "2026-11-19", "2026-11-20")
    assert [is_whole(day) for day in days] == [False, True, False]


def test_credits_are_told_and_what_they_outweigh_has_no_drift() -> None:
    found = compared(
        [on("modal", usd=0.3)],
        Billed("modal", TODAY, "ryla", 0.25),
        Billed("modal", TODAY, "ryla", -0.5),
        Billed("modal", TODAY, "another", -9.0),
    )

    assert found.credits_usd == 0.5
    assert found.lines[0].sums.billed_usd == -0.25
    assert found.lines[0].sums.drift is None
    assert found.others == [("modal", "another", -9.0)]

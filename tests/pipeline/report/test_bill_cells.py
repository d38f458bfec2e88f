import pytest

from pipeline.report.bill_cells import day_of, name_of, usd_of


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-19", "2026-11-19"),
        ("20261119", "2026-11-19"),
        ("2026-11-19 23:30:00", "2026-11-19"),
        ("2026-11-19T23:30:00.123Z", "2026-11-19"),
        ("2026-11-19T23:30:00-05:00", "2026-11-20"),
        ("2026-11-19 23:30 UTC", "2026-11-19"),
    ],
)
def test_a_time_is_on_its_day_of_utc(text: str, day: str) -> None:
    assert day_of(text) == day


@pytest.mark.parametrize("text", ["", "None", "19.11.2026", "11/12/2026", "17635104", "9999-12-31"])
def test_a_time_of_another_form_or_age_is_none(text: str) -> None:
    assert day_of(text) is None


@pytest.mark.parametrize(
    ("text", "usd"),
    [
        ("0.75", 0.75),
        ("-5", -5),
        ("$1,234,567.5", 1234567.5),
        ("-$.5", -0.5),
        ("1e-3", 0.001),
        (" 7. ", 7),
    ],
)
def test_an_amount_is_of_dollars(text: str, usd: float) -> None:
    assert usd_of(text) == usd


@pytest.mark.parametrize(
    "text", ["", "-", "nan", "inf", "1e12", "0,75", "1,23", "(5)", "5 $", "£5", "٣", "True", "None"]
)
def test_what_is_no_amount_of_dollars_is_none(text: str) -> None:
    assert usd_of(text) is None


def test_a_name_is_as_it_is_unless_it_cannot_be_shown() -> None:
    assert name_of(" ryla é ") == "ryla é"
    assert name_of("a\x1b\u202eb") == "a??b"
    assert name_of("x" * 81) == "x" * 79 + "…"

import pytest

from pipeline.report.formats import figure, percent, usd
from pipeline.report.targets import Metric, Unit


@pytest.mark.parametrize(
    ("unit", "value", "said"),
    [
        (Unit.SHARE, 0.95, "95.0 %"),
        (Unit.SECONDS, 12.345, "12.35 s"),
        (Unit.USD, 0.0062, "$0.0062"),
        (Unit.MATCH, 0.8499, "0.849"),
        (Unit.SECONDS, None, "\N{EN DASH}"),
    ],
)
def test_a_figure_is_said_in_its_unit(unit: Unit, value: float | None, said: str) -> None:
    assert figure(Metric("x", unit, value, 1, "jobs")) == said


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert percent(0.99999) == "99.9 %"
    assert percent(1.0) == "100.0 %"
    assert percent(0.285) == "28.5 %"


def test_large_sums_are_told_to_the_cent() -> None:
    assert usd(1234.567) == "$1,234.57"
    assert usd(9.87654) == "$9.8765"

import pytest

from pipeline.report.metric_text import figure
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

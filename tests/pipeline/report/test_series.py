import pytest

from pipeline.report.series import Series


def series(*values: float) -> Series:
    made = Series()
    for value in values:
        made.add(value)
    return made


def test_mean_and_percentiles() -> None:
    hundred = series(*range(100, 0, -1))

    assert hundred.mean == 50.5
    assert hundred.percentiles((50, 95, 100)) == [50, 95, 100]


@pytest.mark.parametrize(("percent", "value"), [(1, 3), (50, 3), (51, 7), (95, 7)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert series(7, 3).percentile(percent) == value


def test_nothing_has_no_mean() -> None:
    assert series().document() == {"n": 0, "mean": None, "p50": None, "p95": None}

"""Figures as text, the same in the table and on the page."""

from math import floor

from pipeline.report.targets import Metric, Unit

NOTHING = "\N{EN DASH}"


def figure(metric: Metric) -> str:
    value = metric.figure
    if value is None:
        return NOTHING
    match metric.unit:
        case Unit.SHARE:
            return percent(value)
        case Unit.SECONDS:
            return f"{value:.2f} s"
        case Unit.USD:
            return usd(value)
    return f"{_cut(value, 3):.3f}"


def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{_cut(value * 100, 1):.1f} %"


def _cut(value: float, digits: int) -> float:
    """Not rounded up: what misses a target must not look as if it met it."""
    scale = 10.0**digits
    return floor(round(value * scale, 6)) / scale


def usd(value: float | None) -> str:
    """To the cent from ten dollars on."""
    if value is None:
        return NOTHING
    return f"${value:,.2f}" if value >= 10 else f"${value:.4f}"

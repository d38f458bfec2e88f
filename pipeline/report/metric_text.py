"""A metric's figure as text."""

from pipeline.pages.figure_text import NOTHING, cut, percent, seconds, usd
from pipeline.report.targets import Metric, Unit

__all__ = ["figure", "percent", "usd"]


def figure(metric: Metric) -> str:
    value = metric.figure
    match metric.unit:
        case Unit.SHARE:
            return percent(value)
        case Unit.SECONDS:
            return seconds(value)
        case Unit.USD:
            return usd(value)
    return NOTHING if value is None else f"{cut(value, 3):.3f}"

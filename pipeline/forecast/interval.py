"""A figure that is known within bounds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """Seconds, dollars or a factor."""

    low: float
    expected: float
    high: float

    @classmethod
    def of(cls, cases: Iterable[float]) -> "Interval":
        """The same figure of the runs of CASES, in their order. A run with longer jobs may have
        less of it, such as fewer starts."""
        figures = list(cases)
        return cls(min(figures), figures[1], max(figures))

    @classmethod
    def around(cls, least: float, most: float, share: float) -> "Interval":
        """What was reckoned, and may be wrong by a share from 0 to 1 either way. `least` is
        expected; `most` is with all the tries that a job may take."""
        return cls(least * (1 - share), least, most * (1 + share))

    def times(self, factor: float) -> "Interval":
        return Interval(self.low * factor, self.expected * factor, self.high * factor)

    def document(self) -> dict[str, float]:
        figures = {"low": self.low, "expected": self.expected, "high": self.high}
        return {name: round(figure, 6) for name, figure in figures.items()}


Case = Callable[[Interval], float]
"""Which of its three figures a run of a forecast reads of every interval."""

CASES: tuple[Case, Case, Case] = (
    lambda interval: interval.low,
    lambda interval: interval.expected,
    lambda interval: interval.high,
)

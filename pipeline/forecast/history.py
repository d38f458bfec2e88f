"""What ended jobs took, set against what was estimated for them. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from config.platforms import LOCAL
from handlers.comfyui.info import STANDIN
from handlers.kinds.registry import KINDS
from pipeline.contract.result import Metrics, Result, Status
from pipeline.forecast.interval import Interval
from pipeline.report.platform import is_standin, platform_of
from pipeline.report.series import Series

LEAST = 5
"""Results of a kind on a GPU, from which they count. Of starts one is enough: a start that was
measured elsewhere is further off."""
LOW, HIGH = 10, 90
"""Percentiles that bound an interval."""

Place = tuple[str, str]
"""A kind or a route, and a GPU by the name in a result."""


@dataclass(frozen=True)
class History:
    """By kind and GPU, seconds as a factor of the estimate on the first GPU of the route; by route
    and GPU, the seconds of a cold start."""

    factors: Mapping[Place, Interval] = field(default_factory=dict)
    starts: Mapping[Place, Interval] = field(default_factory=dict)
    results: int = 0
    """That say something of either."""
    own_gpu: str | None = None
    """What most jobs of own machines ran on."""


NO_HISTORY = History()


def history_of(results: Iterable[Result], *, standin: bool = False) -> History:
    """Of jobs that succeeded at their first attempt: only those were made by one worker from end to
    end. What no model made counts with `standin` alone."""
    factors, starts = defaultdict[Place, _Sample](_Sample), defaultdict[Place, _Sample](_Sample)
    own, number = Counter[str](), 0
    for result, kind, metrics in _clean(results):
        if is_standin(result) and not standin:
            continue
        number += 1
        own[metrics.gpu] += platform_of(result) in (LOCAL, STANDIN)
        if metrics.cold:
            starts[(KINDS[kind].route, metrics.gpu)].add(_cold_seconds(metrics), 1)
        if metrics.estimate_seconds:
            warm = metrics.total - _cold_seconds(metrics) + metrics.start
            factors[(kind, metrics.gpu)].add(warm, metrics.estimate_seconds)
    return History(
        {place: each.interval for place, each in factors.items() if len(each.shares) >= LEAST},
        {place: each.interval for place, each in starts.items()},
        number,
        max(+own, key=own.__getitem__, default=None),
    )


def _clean(results: Iterable[Result]) -> Iterator[tuple[Result, str, Metrics]]:
    for result in results:
        if result.metrics is None or result.attempt != 1 or result.model not in KINDS:
            continue
        if result.status is Status.SUCCEEDED:
            yield result, result.model or "", result.metrics


def _cold_seconds(metrics: Metrics) -> float:
    """What the job waited for and a warm one would not have, inside its own parts too."""
    parts = metrics.cold_parts
    return metrics.start + (0.0 if parts is None else parts.weights + parts.first_step)


@dataclass
class _Sample:
    shares: Series = field(default_factory=Series)
    took: float = 0.0
    estimated: float = 0.0

    def add(self, took: float, estimated: float) -> None:
        self.shares.add(took / estimated)
        self.took += took
        self.estimated += estimated

    @property
    def interval(self) -> Interval:
        """What all took together over what was estimated for them together, since a sum is to be
        told: a median would leave out the few that take long."""
        low, high = self.shares.percentiles((LOW, HIGH))
        mean = self.took / self.estimated
        return Interval(min(low or mean, mean), mean, max(high or mean, mean))

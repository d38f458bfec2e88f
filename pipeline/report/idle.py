"""What idle workers cost beside the jobs, as far as results tell it. Pure.

A worker that has nothing to do stays for its route's `idle_s` and is paid for meanwhile, after
every result that it wrote. So no result can hold that price, and this is what is expected: each
cold start was one worker, and each worker ends with one idle window. Gaps between two jobs of a
worker, which are shorter, stand in no result and are not in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from config.routes import RouteTable
from handlers.kinds.registry import KINDS
from pipeline.contract.result import Result


@dataclass(frozen=True)
class IdleWindow:
    route: str
    seconds: float


IdleWindows = Mapping[str, IdleWindow]
"""By kind."""
NO_WINDOWS: IdleWindows = MappingProxyType({})


def idle_windows(routes: RouteTable) -> IdleWindows:
    return {
        name: IdleWindow(kind.route, routes.routes[kind.route].idle_s)
        for name, kind in KINDS.items()
        if kind.route in routes.routes
    }


def window_usd(result: Result, windows: IdleWindows) -> float:
    """Of the worker whose first job this was; 0 for any other job."""
    window = windows.get(result.model or "")
    metrics, cost = result.metrics, result.cost
    if window is None or metrics is None or cost is None:
        return 0.0
    if not metrics.cold or not metrics.gpu_seconds:
        return 0.0
    return window.seconds * cost.usd / metrics.gpu_seconds


Pool = tuple[str, str, str]
"""A day, a route and a GPU: workers that served the same jobs."""


@dataclass
class IdleShares:
    """Each job's share of the idle windows of its day, route and GPU, by the seconds it worked:
    the job that waited for a cold start is not the one that the worker was kept for."""

    windows: IdleWindows = field(default_factory=dict)
    total_usd: float = 0.0
    _usd: defaultdict[Pool, float] = field(default_factory=lambda: defaultdict(float))
    _seconds: defaultdict[Pool, float] = field(default_factory=lambda: defaultdict(float))
    _of: dict[tuple[str, str], defaultdict[Pool, float]] = field(default_factory=dict)
    """By dimension and name, seconds in each pool."""

    def add(self, result: Result, names: Iterable[tuple[str, str]]) -> None:
        """`names` are those that the result counts under, each with its dimension."""
        window, metrics = self.windows.get(result.model or ""), result.metrics
        if window is None or metrics is None or result.cost is None:
            return
        pool = (f"{result.finished_at:%Y-%m-%d}", window.route, metrics.gpu)
        usd = window_usd(result, self.windows)
        self.total_usd += usd
        self._usd[pool] += usd
        self._seconds[pool] += metrics.gpu_seconds
        for place in names:
            self._of.setdefault(place, defaultdict(float))[pool] += metrics.gpu_seconds

    def usd(self, dimension: str, name: str) -> float:
        return sum(
            self._usd[pool] * seconds / self._seconds[pool]
            for pool, seconds in self._of.get((dimension, name), {}).items()
            if self._seconds[pool]
        )

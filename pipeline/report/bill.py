"""Our sums beside what platforms billed, by day and by app or endpoint. Pure.

A platform bills workers from their start to their end; we sum the seconds that jobs held. What lies
between is idle time, of which one window a cold start is expected (pipeline.report.idle), and what
no job paid for: gaps between jobs, the dispatcher, the web function, builds, disks.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.kinds.registry import KINDS
from pipeline.contract.result import Result
from pipeline.report.bill_file import Billed
from pipeline.report.idle import IdleWindows, window_usd
from pipeline.report.platform import is_standin, platform_of

ALL = "all"
"""Of a line that sums up."""


@dataclass
class Sums:
    """US dollars."""

    ours_usd: float = 0.0
    """Of jobs, lost attempts too."""
    cold_usd: float = 0.0
    """The share of `ours_usd` that paid for cold starts."""
    idle_usd: float = 0.0
    """Of idle windows, as they are expected; not in `ours_usd`."""
    billed_usd: float = 0.0

    @property
    def drift(self) -> float | None:
        """By which share ours is more than what was billed (0.1 is 10 % more), or less; None where
        nothing was billed, or credits were more than it."""
        return self.ours_usd / self.billed_usd - 1 if self.billed_usd > 0 else None

    @property
    def rest_usd(self) -> float:
        """Billed, and neither ours nor expected idle time; below 0 where we count too much."""
        return self.billed_usd - self.ours_usd - self.idle_usd

    def __iadd__(self, more: "Sums") -> "Sums":
        self.ours_usd += more.ours_usd
        self.cold_usd += more.cold_usd
        self.idle_usd += more.idle_usd
        self.billed_usd += more.billed_usd
        return self


Place = tuple[str, str, str]
"""Platform, day, and app or endpoint."""


@dataclass(frozen=True)
class BillLine:
    platform: str
    day: str
    """YYYY-MM-DD, UTC; or ALL."""
    name: str
    sums: Sums

    def document(self) -> dict[str, Any]:
        drift = self.sums.drift
        return {
            "platform": self.platform,
            "day": self.day,
            "name": self.name,
            "ours_usd": round(self.sums.ours_usd, 6),
            "billed_usd": round(self.sums.billed_usd, 6),
            "drift": None if drift is None else round(drift, 4),
            "cold_usd": round(self.sums.cold_usd, 6),
            "idle_usd": round(self.sums.idle_usd, 6),
            "rest_usd": round(self.sums.rest_usd, 6),
        }


@dataclass(frozen=True)
class BillComparison:
    lines: Sequence[BillLine]
    """By platform, day and name; after those of a platform, one of all."""
    others: Sequence[tuple[str, str, float]]
    """Platform, name and dollars of what was billed for nothing of ours."""
    outside: Sequence[str]
    """Days of the bills that the report does not hold from end to end."""
    outside_usd: float
    """Dollars that were billed on them."""
    credits_usd: float
    """Of rows below 0 that are in the lines, as a sum above 0."""
    environments: Sequence[str]
    """Of Modal's, from which rows are in the lines."""
    unplaced_usd: float
    """Ours of the days of the bills, of jobs that do not say where they ran."""

    def document(self) -> dict[str, Any]:
        return {
            "lines": [line.document() for line in self.lines],
            "others": [
                {"platform": platform, "name": name, "billed_usd": round(usd, 6)}
                for platform, name, usd in self.others
            ],
            "days_outside": list(self.outside),
            "outside_usd": round(self.outside_usd, 6),
            "credits_usd": round(self.credits_usd, 6),
            "environments": list(self.environments),
            "unplaced_usd": round(self.unplaced_usd, 6),
        }


@dataclass(frozen=True)
class Names:
    """Under which line of a platform a row of its bill and a route's jobs stand."""

    billed: Mapping[str, str]
    """By the name or id in the bill; any other is not ours."""
    routes: Mapping[str, str]
    other_routes: str
    """The line of a route that is not among these."""


def platform_names(modal_app: str, endpoints: Mapping[str, str]) -> Mapping[str, Names]:
    """One app on Modal; on RunPod the endpoints of RYLA_RUNPOD_ENDPOINTS, of which those of a
    route's larger GPUs (`Flux@H100`) stand with the route's own."""
    routes = {name: name.partition("@")[0] for name in endpoints}
    return {
        "modal": Names({modal_app: modal_app}, {}, modal_app),
        "runpod": Names(
            {id: routes[name] for name, id in endpoints.items()},
            {route: route for route in routes.values()},
            "(no endpoint)",
        ),
    }


@dataclass
class OwnSums:
    """What our results say, by platform, day and route. They pass through it once."""

    windows: IdleWindows
    _by: dict[Place, Sums] = field(default_factory=lambda: defaultdict(Sums))

    def noting(self, results: Iterable[Result]) -> Iterator[Result]:
        for result in results:
            self.add(result)
            yield result

    def add(self, result: Result) -> None:
        kind, cost = KINDS.get(result.model or ""), result.cost
        if cost is None or is_standin(result):
            return
        route = "" if kind is None else kind.route
        place = (platform_of(result), f"{result.finished_at:%Y-%m-%d}", route)
        idle = window_usd(result, self.windows)
        self._by[place] += Sums(cost.total_usd, cost.cold_usd, idle)

    def beside(
        self,
        bills: Sequence[Billed],
        is_whole: Callable[[str], bool],
        names: Mapping[str, Names],
    ) -> BillComparison:
        """`is_whole` says whether the report holds a day from end to end."""
        by: dict[Place, Sums] = defaultdict(Sums)
        others: dict[tuple[str, str], float] = defaultdict(float)
        whole = {day: is_whole(day) for day in {row.day for row in bills}}
        inside = [row for row in bills if whole[row.day]]
        credits_usd, environments = 0.0, set[str]()
        for row in inside:
            line = names[row.platform].billed.get(row.name)
            if line is None:
                others[row.platform, row.name] += row.usd
            else:
                by[row.platform, row.day, line] += Sums(billed_usd=row.usd)
                credits_usd += max(0.0, -row.usd)
                environments |= {row.environment} - {""}
        days = {(row.platform, row.day) for row in inside}
        for (platform, day, route), sums in self._by.items():
            if (platform, day) in days:
                of = names[platform]
                by[platform, day, of.routes.get(route, of.other_routes)] += sums
        return BillComparison(
            list(_lines(by)),
            [(platform, name, usd) for (platform, name), usd in sorted(others.items())],
            sorted(day for day, is_inside in whole.items() if not is_inside),
            sum(row.usd for row in bills if not whole[row.day]),
            credits_usd,
            sorted(environments),
            self._unplaced({day for _, day in days}),
        )

    def _unplaced(self, days: Collection[str]) -> float:
        places = self._by.items()
        return sum(sums.ours_usd for (where, day, _), sums in places if not where and day in days)


def whole_day(since: datetime, until: datetime) -> Callable[[str], bool]:
    """Whether a day of UTC, YYYY-MM-DD, lies in the span from end to end."""

    def is_whole(day: str) -> bool:
        begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
        return since <= begin and begin + timedelta(days=1) <= until

    return is_whole


def _lines(by: Mapping[Place, Sums]) -> Iterator[BillLine]:
    for platform in sorted({place[0] for place in by}):
        whole = Sums()
        for place in sorted(each for each in by if each[0] == platform):
            whole += by[place]
            yield BillLine(*place, by[place])
        yield BillLine(platform, ALL, ALL, whole)

"""What a set of jobs will take: three runs of the queue in virtual time, with every figure low, as
expected, and high. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.errors import GraphRejected
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.forecast.crew import Tally
from pipeline.forecast.deployment import Deployment
from pipeline.forecast.expected_job import ExpectedJob
from pipeline.forecast.history import History
from pipeline.forecast.interval import CASES, Case, Interval
from pipeline.forecast.machine import Machine, job_seconds, machine_of
from pipeline.forecast.simulation import CrewSize, Place, simulate
from pipeline.runtime import RuntimeConfig

FIGURES: Mapping[str, Callable[[Tally], float]] = {
    "finished_s": lambda tally: tally.finished_s,
    "gpu_seconds": lambda tally: tally.gpu_s,
    "working_s": lambda tally: tally.working_s,
    "cold_s": lambda tally: tally.cold_s,
    "idle_s": lambda tally: tally.idle_s,
    "cold_starts": lambda tally: tally.starts,
    "workers": lambda tally: tally.most_workers,
    "lora_switches": lambda tally: tally.lora_switches,
    "overflowed": lambda tally: tally.overflowed,
}
"""The figures of a route that are intervals, but for dollars."""
NO_SUMS = ("finished_s", "workers")
"""Of them, those that are not added up."""
EXPECTED = 1
"""Of CASES."""


@dataclass(frozen=True)
class RouteForecast:
    """Of a route on one platform."""

    route: str
    platform: str
    machine: Machine
    tallies: tuple[Tally, ...]
    """One of each case."""

    def interval(self, figure: str) -> Interval:
        """One of FIGURES."""
        return Interval.of(FIGURES[figure](tally) for tally in self.tallies)

    @property
    def jobs(self) -> int:
        return self.tallies[EXPECTED].jobs

    @property
    def pictures(self) -> int:
        return self.tallies[EXPECTED].pictures

    @property
    def is_used(self) -> bool:
        """Whether anything is started there, in any case."""
        return any(each.jobs or each.starts for each in self.tallies)

    @property
    def usd(self) -> Interval:
        return self.interval("gpu_seconds").times(self.machine.usd_per_second)

    @property
    def idle_usd(self) -> Interval:
        """The share of `usd` that pays for workers without a job."""
        return self.interval("idle_s").times(self.machine.usd_per_second)

    @property
    def cold_usd(self) -> Interval:
        """The share of `usd` that pays for cold starts."""
        return self.interval("cold_s").times(self.machine.usd_per_second)

    def document(self) -> dict[str, Any]:
        return {
            "route": self.route,
            "platform": self.platform,
            "gpu": self.machine.gpu.name,
            "usd_per_second": self.machine.usd_per_second,
            "most_workers": self.machine.most,
            "idle_window_s": self.machine.idle_s,
            "jobs": self.jobs,
            "pictures": self.pictures,
            **{name: self.interval(name).document() for name in FIGURES},
            "usd": self.usd.document(),
            "cold_usd": self.cold_usd.document(),
            "idle_usd": self.idle_usd.document(),
        }


@dataclass(frozen=True)
class Part:
    """Some routes together: all, or those on one platform."""

    name: str
    routes: Sequence[RouteForecast]

    @property
    def jobs(self) -> int:
        return sum(each.jobs for each in self.routes)

    @property
    def pictures(self) -> int:
        return sum(each.pictures for each in self.routes)

    @property
    def finished(self) -> Interval:
        """Seconds until the last job has ended."""
        return _last(each.interval("finished_s") for each in self.routes)

    def total(self, read: Callable[[RouteForecast], Interval]) -> Interval:
        found = [read(each) for each in self.routes]
        return Interval(
            sum(each.low for each in found),
            sum(each.expected for each in found),
            sum(each.high for each in found),
        )

    def figure(self, name: str) -> Interval:
        """One of FIGURES, of all routes together."""
        return self.total(lambda route: route.interval(name))

    @property
    def usd(self) -> Interval:
        return self.total(lambda route: route.usd)

    def figures(self) -> dict[str, Any]:
        return {
            "jobs": self.jobs,
            "pictures": self.pictures,
            "finished_s": self.finished.document(),
            **{name: self.figure(name).document() for name in FIGURES if name not in NO_SUMS},
            "usd": self.usd.document(),
            "cold_usd": self.total(lambda each: each.cold_usd).document(),
            "idle_usd": self.total(lambda each: each.idle_usd).document(),
        }


@dataclass(frozen=True)
class Forecast(Part):
    """`name` is the what-if, or `as it is`; `routes` are those that have jobs."""

    refused: int
    """Jobs that no GPU starts for: their estimate exceeds their `max_cost_usd`, or no route runs
    their kind."""
    unknown: int
    """Jobs that no estimate can be made of; they are in none of the figures."""
    default: str
    """The platform of routes that name none."""

    @property
    def platforms(self) -> Sequence[Part]:
        """What runs on each, in the order in which routes name them."""
        names = dict.fromkeys(each.platform for each in self.routes)
        return [
            Part(name, [each for each in self.routes if each.platform == name]) for name in names
        ]

    @property
    def platform(self) -> str:
        """In words."""
        return ", ".join(each.name for each in self.platforms) or self.default

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "platform": self.platform,
            **self.figures(),
            "refused": self.refused,
            "unknown": self.unknown,
            "platforms": [{"platform": each.name, **each.figures()} for each in self.platforms],
            "routes": [each.document() for each in self.routes],
        }


def forecast(
    name: str,
    jobs: Collection[ExpectedJob],
    deployment: Deployment,
    usual: RuntimeConfig,
    history: History,
    now: datetime,
) -> Forecast:
    """`deployment` is that of the what-if, `usual` the tables without one."""
    wanted = [job for job in jobs if not _is_refused(job, usual)]
    used = sorted({deployment.runtime.route_of(job.kind) or "" for job in wanted})
    machines = {
        (route, platform): machine_of(runtime.routes.route(route), runtime, history)
        for route in used
        for platform in deployment.platforms_of(route)
        for runtime in (deployment.runtimes[platform],)
    }
    seconds = {
        job.id: found
        for job in wanted
        if (found := _seconds(job, deployment, machines, usual, history)) is not None
    }
    known = [job for job in wanted if job.id in seconds]
    runs = [_run(case, known, deployment.runtime, machines, seconds, now) for case in CASES]
    routes = [
        RouteForecast(*place, machine, tuple(run[place] for run in runs))
        for place, machine in machines.items()
    ]
    shown = [
        each for each in routes if each.is_used or len(deployment.platforms_of(each.route)) == 1
    ]
    refused, unknown = len(jobs) - len(wanted), len(wanted) - len(known)
    return Forecast(name, shown, refused, unknown, deployment.default)


def _seconds(
    job: ExpectedJob,
    deployment: Deployment,
    machines: Mapping[Place, Machine],
    usual: RuntimeConfig,
    history: History,
) -> Mapping[str, Interval] | None:
    """By platform; None where it cannot be told of one that it may go to."""
    route = deployment.runtime.route_of(job.kind) or ""
    found: dict[str, Interval] = {}
    for platform in deployment.platforms_of(route):
        gpu, runtime = machines[route, platform].gpu, deployment.runtimes[platform]
        its = job_seconds(job, gpu, runtime, usual, history)
        if its is None:
            return None
        found[platform] = its
    return found


def _run(
    case: Case,
    jobs: Sequence[ExpectedJob],
    runtime: RuntimeConfig,
    machines: Mapping[Place, Machine],
    seconds: Mapping[str, Mapping[str, Interval]],
    now: datetime,
) -> Mapping[Place, Tally]:
    crews = {
        place: CrewSize(machine.most, machine.idle_s, case(machine.start))
        for place, machine in machines.items()
    }
    return simulate(jobs, runtime, crews, lambda job, on: case(seconds[job.id][on]), now)


def _is_refused(job: ExpectedJob, runtime: RuntimeConfig) -> bool:
    """As the preflight judges it, by the first GPU of the route."""
    kind, most = KINDS[job.kind], job.manifest.max_cost_usd
    if runtime.route_of(job.kind) is None:
        return True
    if most is None:
        return False
    gpu = runtime.gpus.gpu(runtime.routes.route(kind.route).gpus[0])
    try:
        found = costs.job_estimate(kind, job.manifest.input, gpu, runtime.routes, runtime.gpus)
    except GraphRejected:
        return True
    return costs.over_budget(found, most) is not None


def _last(ends: Iterable[Interval]) -> Interval:
    found = list(ends) or [Interval(0, 0, 0)]
    return Interval(
        max(each.low for each in found),
        max(each.expected for each in found),
        max(each.high for each in found),
    )

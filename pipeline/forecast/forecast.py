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
from pipeline.forecast.expected_job import ExpectedJob
from pipeline.forecast.history import History
from pipeline.forecast.interval import CASES, Case, Interval
from pipeline.forecast.machine import Machine, job_seconds, machine_of
from pipeline.forecast.simulation import CrewSize, simulate
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
}
"""The figures of a route that are intervals, but for dollars."""


@dataclass(frozen=True)
class RouteForecast:
    route: str
    machine: Machine
    tallies: tuple[Tally, ...]
    """One of each case."""

    def interval(self, figure: str) -> Interval:
        """One of FIGURES."""
        return Interval.of(FIGURES[figure](tally) for tally in self.tallies)

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
            "gpu": self.machine.gpu.name,
            "usd_per_second": self.machine.usd_per_second,
            "most_workers": self.machine.most,
            "idle_window_s": self.machine.idle_s,
            "jobs": self.tallies[0].jobs,
            "pictures": self.tallies[0].pictures,
            **{name: self.interval(name).document() for name in FIGURES},
            "usd": self.usd.document(),
            "cold_usd": self.cold_usd.document(),
            "idle_usd": self.idle_usd.document(),
        }


@dataclass(frozen=True)
class Forecast:
    name: str
    """The what-if, or `as it is`."""
    platform: str
    routes: Sequence[RouteForecast]
    """Those that have jobs."""
    refused: int
    """Jobs that no GPU starts for: their estimate exceeds their `max_cost_usd`, or no route runs
    their kind."""
    unknown: int
    """Jobs that no estimate can be made of; they are in none of the figures."""

    @property
    def jobs(self) -> int:
        return sum(each.tallies[0].jobs for each in self.routes)

    @property
    def pictures(self) -> int:
        return sum(each.tallies[0].pictures for each in self.routes)

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

    def document(self) -> dict[str, Any]:
        sums = [name for name in FIGURES if name not in ("finished_s", "workers")]
        return {
            "name": self.name,
            "platform": self.platform,
            "jobs": self.jobs,
            "pictures": self.pictures,
            "refused": self.refused,
            "unknown": self.unknown,
            "finished_s": self.finished.document(),
            **{name: self.figure(name).document() for name in sums},
            "usd": self.usd.document(),
            "cold_usd": self.total(lambda each: each.cold_usd).document(),
            "idle_usd": self.total(lambda each: each.idle_usd).document(),
            "routes": [each.document() for each in self.routes],
        }


def forecast(
    name: str,
    jobs: Collection[ExpectedJob],
    runtime: RuntimeConfig,
    usual: RuntimeConfig,
    history: History,
    now: datetime,
) -> Forecast:
    """`runtime` is that of the what-if, `usual` the one without."""
    wanted = [job for job in jobs if not _is_refused(job, usual)]
    machines = {
        route: machine_of(runtime.routes.route(route), runtime, history)
        for route in sorted({runtime.route_of(job.kind) or "" for job in wanted})
    }
    seconds: dict[str, Interval] = {}
    for job in wanted:
        gpu = machines[runtime.route_of(job.kind) or ""].gpu
        found = job_seconds(job, gpu, runtime, usual, history)
        if found is not None:
            seconds[job.id] = found
    known = [job for job in wanted if job.id in seconds]
    runs = [_run(case, known, runtime, machines, seconds, now) for case in CASES]
    routes = [
        RouteForecast(route, machine, tuple(run[route] for run in runs))
        for route, machine in machines.items()
    ]
    refused, unknown = len(jobs) - len(wanted), len(wanted) - len(known)
    return Forecast(name, runtime.platform, routes, refused, unknown)


def _run(
    case: Case,
    jobs: Sequence[ExpectedJob],
    runtime: RuntimeConfig,
    machines: Mapping[str, Machine],
    seconds: Mapping[str, Interval],
    now: datetime,
) -> Mapping[str, Tally]:
    crews = {
        name: CrewSize(machine.most, machine.idle_s, case(machine.start))
        for name, machine in machines.items()
    }
    return simulate(jobs, runtime, crews, lambda job: case(seconds[job.id]), now)


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

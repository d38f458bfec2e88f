"""What the workers of a route run on, what that costs and how long jobs take on it. Pure."""

from dataclasses import dataclass

from config.errors import GraphRejected
from config.gpus import Gpu
from config.routes import Route
from config.settings import Settings, devices
from handlers.kinds.registry import KINDS
from pipeline import costs
from pipeline.forecast.expected_job import ExpectedJob
from pipeline.forecast.history import History
from pipeline.forecast.interval import Interval
from pipeline.runtime import RuntimeConfig

MEASURED, RECKONED = 0.1, 0.3
"""By what share an estimate may be wrong where no result says so: on a card that was measured
(docs/testing.md has a run that took 8 % less), and on one that is reckoned from it, of which nobody
knows; it is a guess."""


@dataclass(frozen=True)
class Machine:
    """Of one route."""

    gpu: Gpu
    usd_per_second: float
    """0 where nobody bills."""
    most: int
    """Workers at a time."""
    idle_s: float
    start: Interval
    """Seconds of a cold start."""


def machine_of(route: Route, runtime: RuntimeConfig, history: History) -> Machine:
    """On a platform the first GPU of the route that it has; on this machine what RYLA_GPU names, or
    what most results of own machines ran on."""
    gpu = _gpu_of(route, runtime, history)
    known = runtime.deployed or runtime.settings.gpu or history.own_gpu
    return Machine(
        gpu,
        costs.usd_per_second(gpu, route, runtime.gpus) if known else 0.0,
        route.max_containers if runtime.deployed else _own_workers(runtime.settings),
        route.idle_s,
        history.starts.get((route.name, gpu.name)) or _reckoned_start(gpu, route, runtime),
    )


def _own_workers(settings: Settings) -> int:
    """As if each of its GPUs held every route."""
    return settings.local_workers * max(1, len(devices(settings)))


def _gpu_of(route: Route, runtime: RuntimeConfig, history: History) -> Gpu:
    name = runtime.settings.gpu or history.own_gpu
    if runtime.deployed or name is None:
        return _first_to_be_had(route, runtime)
    return runtime.gpus.identify(name)


def _first_to_be_had(route: Route, runtime: RuntimeConfig) -> Gpu:
    """The route's first one, too, where the platform has none of them."""
    asked = [runtime.gpus.gpu(name) for name in route.gpus]
    prices = runtime.gpus.platforms.get(runtime.platform)
    had = () if prices is None else prices.usd_per_second
    return next((gpu for gpu in asked if gpu.name in had), asked[0])


def _reckoned_start(gpu: Gpu, route: Route, runtime: RuntimeConfig) -> Interval:
    """A start to the end of the first picture, less a warm picture, on the measured card nearest to
    it. 0 where nothing was measured."""
    pace = costs.pace(gpu, route, runtime.gpus)
    longest = None if pace is None else pace.measured_on.start_s
    seconds = 0.0 if pace is None or longest is None else longest - pace.run.seconds
    return Interval.around(seconds, seconds, RECKONED)


def job_seconds(
    job: ExpectedJob, gpu: Gpu, runtime: RuntimeConfig, usual: RuntimeConfig, history: History
) -> Interval | None:
    """Of a warm worker with this GPU; None where no estimate can be made. By results of the kind on
    the GPU, if there are enough: they took a multiple of the estimate on the first GPU of the route
    as it is usually, without a what-if. Else by the estimate on the GPU itself."""
    kind = KINDS[job.kind]
    factor = history.factors.get((job.kind, gpu.name))
    if factor is not None:
        gpu, runtime = usual.gpus.gpu(usual.routes.route(kind.route).gpus[0]), usual
    try:
        found = costs.job_estimate(kind, job.manifest.input, gpu, runtime.routes, runtime.gpus)
    except GraphRejected:
        return None
    if found.seconds is None:
        return None
    if factor is not None:
        return factor.times(found.seconds)
    pace = costs.pace(gpu, runtime.routes.route(kind.route), runtime.gpus)
    share = MEASURED if pace is not None and pace.is_own else RECKONED
    return Interval.around(found.seconds, found.most_seconds or found.seconds, share)

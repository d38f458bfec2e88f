"""In which order a route's GPUs should be asked for, by what a picture costs on each. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from config.gpus import Gpu, GpuTable
from config.models import ModelTable
from config.routes import Route
from handlers.kinds.registry import KINDS
from pipeline import costs
from tools.gpus_figures import PICTURES, default_work, fits

PICTURES_A_START = 5
"""How many a worker is taken to make between its start and its end: few. Nobody has measured a
load yet; `ryla report` shows it, and docs/gpus.md from how many on another card is cheaper."""


@dataclass(frozen=True)
class Cost:
    """Of a picture of a route on a GPU, over the route's kinds with their defaults. US dollars."""

    gpu: Gpu
    rank: int | None
    """From 1: its place on the route; None where the route does not have it."""
    usd_per_second: float
    """With the route's cores and memory."""
    working: float
    """On a worker that always has the next picture."""
    start_s: float
    """What a worker is paid for beside pictures: its start and its idle time at the end."""

    def usd(self, pictures_a_start: float) -> float:
        return self.working + self.usd_per_second * self.start_s / pictures_a_start

    def cheaper_from(self, other: "Cost") -> float | None:
        """From how many pictures a start on it is cheaper than `other`; None if it never is."""
        gain = other.working - self.working
        dearer = (self.usd_per_second - other.usd_per_second) * self.start_s
        return max(1.0, dearer / gain) if gain > 0 else None


def costs_of(route: Route, gpus: GpuTable, models: ModelTable) -> list[Cost]:
    """Every GPU that holds the weights of each kind of the route and has an estimate, in the order
    that `PICTURES_A_START` gives."""
    kinds = [kind for kind in PICTURES if KINDS[kind].route == route.name]
    ranks = {gpus.gpu(name).name: n for n, name in enumerate(route.gpus, start=1)}
    found = []
    for gpu in gpus.gpus.values():
        known = [costs.estimate(kind, default_work(kind), gpu, route, gpus) for kind in kinds]
        prices = [each.usd for each in known if each.usd is not None]
        pace = costs.pace(gpu, route, gpus)
        if pace is None or len(prices) < len(kinds) or not all(fits(k, gpu, models) for k in kinds):
            continue
        longest = pace.measured_on.start_s
        assert longest is not None
        rate = costs.usd_per_second(gpu, route, gpus)
        start_s = longest + route.idle_s
        found.append(Cost(gpu, ranks.get(gpu.name), rate, mean(prices), start_s))
    return sorted(found, key=lambda cost: cost.usd(PICTURES_A_START))


def computed_order(found: Sequence[Cost]) -> list[str]:
    """The GPUs of the route alone."""
    return [cost.gpu.name for cost in found if cost.rank is not None]

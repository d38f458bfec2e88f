"""What a deployment costs in a month in which nobody asks for anything. Pure arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass

from config.gpus import GpuTable
from config.routes import Route, RouteTable
from config.settings import Settings
from pipeline.costs import usd_per_second

MONTH_S = 730 * 3600
"""A twelfth of 365 days."""
RUN_EVERY_S = 60
"""SCHEDULE of modal_deployment.py."""
LISTS_A_TICK = 2
"""Of an idle dispatcher: one of the leases, one of the inbox."""


@dataclass(frozen=True)
class KeptContainers:
    """What an option of a route, or of the API, costs a month. US dollars."""

    name: str
    """A route, or `api`."""
    option: str
    usd: float
    """Of every month, whether jobs come or not."""
    most_usd: float
    """With that, at most: where it costs while work goes on, if it goes on all month."""


def kept_containers(
    settings: Settings,
    routes: RouteTable,
    prices: GpuTable,
    *,
    api_cores: float,
    api_mib: int,
) -> Iterator[KeptContainers]:
    """Options that the tables and settings turn on, each by itself, on a route's first GPU."""
    for route in routes.routes.values():
        yield from _of_route(route, prices)
    if settings.modal_api_min_containers:
        a_second = _cpu_and_memory(prices, api_cores, api_mib)
        usd = settings.modal_api_min_containers * MONTH_S * a_second
        option = f"min_containers = {settings.modal_api_min_containers}"
        yield KeptContainers("api", option, usd, usd)


def _of_route(route: Route, prices: GpuTable) -> Iterator[KeptContainers]:
    month = MONTH_S * usd_per_second(prices.gpu(route.gpus[0]), route, prices)
    if route.min_containers:
        usd = route.min_containers * month
        yield KeptContainers(route.name, f"min_containers = {route.min_containers}", usd, usd)
    if route.buffer_containers:
        usd = route.buffer_containers * month
        yield KeptContainers(route.name, f"buffer_containers = {route.buffer_containers}", 0.0, usd)
    if route.regions:
        anywhere = month / prices.region_factor(route.regions)
        usd = route.min_containers * (month - anywhere)
        most = route.max_containers * (month - anywhere)
        option = f"regions = {', '.join(route.regions)}"
        yield KeptContainers(route.name, option, usd, most)


@dataclass(frozen=True)
class IdleBill:
    """US dollars a month, without what is kept by KeptContainers. GPUs, the API and downloads cost
    nothing while nobody asks."""

    dispatcher_usd: float
    """It always runs: between two runs its container is kept."""
    lists: int
    """Requests to the bucket."""
    lists_usd: float
    weights_gib: float
    volumes_usd: float
    """While the workspace has used up nothing of what is free."""
    volumes_usd_beyond_free: float

    @property
    def usd(self) -> float:
        """With nothing of the volumes' free share used up."""
        return self.dispatcher_usd + self.lists_usd + self.volumes_usd


def idle_bill(
    settings: Settings,
    prices: GpuTable,
    *,
    run_s: float,
    cpu_cores: float,
    memory_mib: int,
    weights_gib: float,
) -> IdleBill:
    """`run_s` is how long a run of the dispatcher ticks; cores and memory are what it asks for."""
    a_second = _cpu_and_memory(prices, cpu_cores, memory_mib)
    runs = MONTH_S // RUN_EVERY_S
    lists = runs * idle_ticks(settings, run_s) * LISTS_A_TICK
    gib = weights_gib + settings.lora_cache_gib
    return IdleBill(
        dispatcher_usd=MONTH_S * a_second,
        lists=lists,
        lists_usd=lists / 1000 * prices.list_usd_per_1000,
        weights_gib=weights_gib,
        volumes_usd=max(gib - prices.volume_free_gib, 0) * prices.volume_usd_per_gib_month,
        volumes_usd_beyond_free=gib * prices.volume_usd_per_gib_month,
    )


def _cpu_and_memory(prices: GpuTable, cores: float, mib: int) -> float:
    cpu = cores * prices.cpu_usd_per_core_second
    return cpu + mib / 1024 * prices.memory_usd_per_gib_second


def idle_ticks(settings: Settings, run_s: float) -> int:
    """Of one run, long after the last job."""
    return 1 + max(0, int((run_s - 1e-9) // settings.poll_idle_seconds))

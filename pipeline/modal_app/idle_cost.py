"""What a deployment costs in a month in which nobody asks for anything. Pure arithmetic."""

from dataclasses import dataclass

from config.settings import Settings
from config.tables import GpuTable

MONTH_S = 730 * 3600
"""A twelfth of 365 days."""
RUN_EVERY_S = 60
"""SCHEDULE of deployment.py."""
LISTS_A_TICK = 2
"""Of an idle dispatcher: one of the leases, one of the inbox."""


@dataclass(frozen=True)
class IdleBill:
    """US dollars a month. GPUs, the API and downloads cost nothing while nobody asks."""

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
    a_second = (
        cpu_cores * prices.cpu_usd_per_core_second
        + memory_mib / 1024 * prices.memory_usd_per_gib_second
    )
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


def idle_ticks(settings: Settings, run_s: float) -> int:
    """Of one run, long after the last job."""
    return 1 + max(0, int((run_s - 1e-9) // settings.poll_idle_seconds))

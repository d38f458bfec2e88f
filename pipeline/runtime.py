"""What decides about a job, apart from the job: settings, tables and node interfaces. Read once."""

from dataclasses import dataclass

from config.budgets import NO_BUDGETS, BudgetTable, load_budgets
from config.gpus import GpuTable, load_gpus
from config.models import ModelTable
from config.nearest import require_known
from config.platforms import LOCAL
from config.routes import RouteTable, load_routes
from config.settings import Settings, listed
from handlers.kinds.registry import KINDS
from handlers.policy.prompt_words import word_filter
from handlers.policy.rules import Policy, PromptCheck
from pipeline.models.activation import models_in_use
from workflows import own_interfaces
from workflows.interfaces import Interfaces

CLOUDS = ("modal", "runpod")
"""Platforms whose workers are containers."""


@dataclass(frozen=True)
class RuntimeConfig:
    """What a process is configured with; it does not change after it was read."""

    settings: Settings
    gpus: GpuTable
    routes: RouteTable
    models: ModelTable
    interfaces: Interfaces
    platform: str
    """Where jobs run (`local`, `modal`, `runpod`): its prices count, and events name it."""
    prompt_check: PromptCheck = word_filter
    budgets: BudgetTable = NO_BUDGETS
    misfits: frozenset[str] = frozenset()
    """Routes that the workers of this machine do not run, because their weights do not fit it."""

    @property
    def unclaimed_routes(self) -> frozenset[str]:
        """Routes that no platform of this process runs: their jobs are not claimed here."""
        here = {self.platform, *listed(self.settings.platforms)}
        return frozenset(
            name
            for name in self.misfits
            if not (here & set(self.routes.route(name).platforms or (self.platform,))) - {LOCAL}
        )

    @property
    def deployed(self) -> bool:
        """Whether workers are containers of a platform, which gives each the GPU that is asked for,
        and weights from a volume. Anywhere else a worker takes the machine as it is."""
        return self.platform in CLOUDS

    @property
    def policy(self) -> Policy:
        return Policy(self.prompt_check, listed(self.settings.nsfw_tenants))

    def route_of(self, model: str | None) -> str | None:
        """The route of a kind, None for a kind that is not built or unknown, or whose route is not
        in routes.toml."""
        kind = KINDS.get(model or "")
        return None if kind is None or kind.route not in self.routes.routes else kind.route


def routes_of_kinds(settings: Settings, gpus: GpuTable) -> RouteTable:
    """routes.toml. Raises InvalidSetting, also for a route that no kind runs on: its containers
    would be kept, and paid for, and no job would come."""
    routes = load_routes(settings.routes_file, gpus=gpus)
    known = dict.fromkeys(kind.route for kind in KINDS.values())
    source = settings.routes_file or "routes.toml"
    require_known(routes.routes, known, what="kind's route", field="routes", source=source)
    return routes


def load_runtime(settings: Settings, platform: str) -> RuntimeConfig:
    """Raises InvalidSetting when a table does not fit."""
    gpus = load_gpus(settings.gpus_file)
    return RuntimeConfig(
        settings=settings,
        gpus=gpus.on(platform),
        routes=routes_of_kinds(settings, gpus),
        models=models_in_use(settings),
        interfaces=own_interfaces.known(),
        platform=platform,
        budgets=load_budgets(settings.budgets_file),
    )

"""What decides about a job, apart from the job: settings, tables and node interfaces. Read once."""

from dataclasses import dataclass

from config.settings import Settings, listed
from config.tables import (
    GpuTable,
    ModelTable,
    RouteTable,
    load_gpus,
    load_models,
    load_routes,
)
from handlers.policy import Policy, PromptCheck
from handlers.prompt_words import word_filter
from handlers.registry import KINDS
from workflows import interfaces
from workflows.interfaces import Interfaces


@dataclass(frozen=True)
class Bench:
    settings: Settings
    gpus: GpuTable
    routes: RouteTable
    models: ModelTable
    interfaces: Interfaces
    engine: str
    """Where jobs run (`local`, `modal`), for events."""
    prompt_check: PromptCheck = word_filter

    @property
    def policy(self) -> Policy:
        return Policy(self.prompt_check, listed(self.settings.nsfw_tenants))

    def route_of(self, model: str) -> str | None:
        """The route of a kind, None for a kind that is not built or unknown."""
        kind = KINDS.get(model)
        return None if kind is None else kind.route


def load_bench(settings: Settings, engine: str) -> Bench:
    """Raises InvalidSetting when a table does not fit."""
    gpus = load_gpus(settings.gpus_file)
    return Bench(
        settings=settings,
        gpus=gpus,
        routes=load_routes(settings.routes_file, gpus=gpus),
        models=load_models(settings.models_file),
        interfaces=interfaces.committed(),
        engine=engine,
    )

"""What is deployed, read once where it is deployed and again, to the same end, in each container.

Whatever decides which functions there are must be the same in both places: tables of the operator's
travel along, and the variables that name them are set in the image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from config.budgets import load_budgets
from config.errors import InvalidSetting
from config.gpus import NO_GPU, load_gpus
from config.models import ModelTable, load_models
from config.platforms import MODAL
from config.routes import Route, RouteTable
from config.settings import Settings, changed, listed, load_settings, variable
from pipeline.modal_app.container_files import app_version
from pipeline.runtime import routes_of_kinds

RUN_S = 50.0
"""How long one scheduled run of the dispatcher goes on ticking."""
RUN_TIMEOUT_S = 58
"""Below the period of the schedule, so that two runs never wait for each other."""
DISPATCHER_CORES = 0.125
"""The least that the platform gives. More is taken when there is work, and billed then."""
DISPATCHER_MIB = 192
SCHEDULE = "* * * * *"
"""Cron: each minute."""
TIDY_SCHEDULE = "17 * * * *"
"""Cron: each hour, for the LoRAs that workers share."""
DOWNLOAD_S = 6 * 3600
"""Longest that one download of weights may take."""
API_CORES = 1.0
"""A container starts in seconds of CPU, and nobody pays for one that is not there."""
API_MIB = 640
"""Idle 120, and a large picture in its child (docs/security.md)."""
API_REQUESTS = 200
"""Side by side in one container; most of them wait."""


@dataclass(frozen=True)
class Deployment:
    """Settings, tables and version of one deploy."""

    root: Path
    """The project's folder."""
    settings: Settings
    routes: RouteTable
    models: ModelTable
    version: str

    @classmethod
    def of(cls, root: Path, environ: Mapping[str, str], environment: str | None = None) -> Self:
        """`environment` is what the platform's own client was told (`modal deploy --env`).

        Touches no network. Raises InvalidSetting, also for a GPU that gpus.toml lacks, and for two
        environments.
        """
        settings = _in_environment(load_settings(environ), environment)
        load_budgets(settings.budgets_file)  # else each container would refuse it
        return cls(
            root=root,
            settings=settings,
            routes=routes_of_kinds(settings, load_gpus(settings.gpus_file)),
            models=load_models(settings.models_file),
            version=app_version(root, settings, environ),
        )

    @property
    def env(self) -> dict[str, str]:
        """Variables of every function, whatever its image."""
        found = {
            variable("engine"): MODAL,
            variable("app_version"): self.version,
            variable("modal_app"): self.settings.modal_app,
        }
        where = self.settings.modal_environment
        # Said in full: the classes are to be found where this was deployed, not by a default.
        return found if where is None else {**found, variable("modal_environment"): where}

    @property
    def domains(self) -> list[str] | None:
        """At which the API answers beside the platform's own."""
        return sorted(listed(self.settings.modal_domains)) or None

    @property
    def tags(self) -> dict[str, str]:
        """By these the platform's bill is told apart."""
        return {"project": "ryla", "app": self.settings.modal_app}


def _in_environment(settings: Settings, environment: str | None) -> Settings:
    if not environment or settings.modal_environment == environment:
        return settings
    if settings.modal_environment is None:
        return changed(settings, modal_environment=environment)
    name = variable("modal_environment")
    raise InvalidSetting(
        f"{name} is {settings.modal_environment}, and modal deploys to {environment}",
        field=name,
        value=settings.modal_environment,
        hint=f"Set {name}={environment}, or leave it out.",
    )


def takes_snapshot(route: Route) -> bool:
    """Whether the next container starts from an image of this one's memory."""
    return route.snapshot != "off"


def worker_resources(route: Route) -> dict[str, Any]:
    """What a route's class asks of the platform. The lease retries, the platform never."""
    return {
        "gpu": [name for name in route.gpus if name != NO_GPU] or None,
        "cpu": route.cpu_cores,
        "memory": round(route.memory_gib * 1024),
        "timeout": route.platform_timeout_s,
        "startup_timeout": route.startup_s,
        "max_containers": route.max_containers,
        "min_containers": route.min_containers or None,
        "buffer_containers": route.buffer_containers or None,
        "region": list(route.regions) or None,
        "scaledown_window": route.idle_s,
        "retries": 0,
        "enable_memory_snapshot": takes_snapshot(route),
        "experimental_options": {"enable_gpu_snapshot": True} if route.snapshot == "gpu" else {},
    }

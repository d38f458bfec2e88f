"""routes.toml: which weights run on which GPU, and how many at a time."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.errors import InvalidSetting
from config.gpus import Gpu, GpuTable, Speed, load_gpus
from config.nearest import require_known
from config.platforms import PLATFORMS
from config.tables import Positive, Row, Rows, load_table

REGION = r"^[a-z][a-z0-9-]{1,31}$"
OF_WORKERS = frozenset(
    {
        "--database-url",
        "--disable-metadata",
        "--extra-model-paths-config",
        "--input-directory",
        "--listen",
        "--output-directory",
        "--port",
        "--temp-directory",
        "--user-directory",
    }
)
"""ComfyUI takes the last of two: a route's would lead it away from its worker."""


class Route(Row):
    """A set of weights on a GPU; several kinds may share one."""

    name: str
    gpus: tuple[str, ...] = Field(min_length=1)
    """In order of preference; names of gpus.toml."""
    cpu_cores: float = Field(ge=0.125)
    """Physical cores, two vCPUs each. Asked for and billed, as is `memory_gib`."""
    memory_gib: Positive
    max_in_flight: int = Field(ge=1)
    """Jobs claimed and not yet finished, over all workers."""
    max_containers: int = Field(ge=1)
    timeout_s: int = Field(ge=10, le=86_400)
    """Longest that one job may run. The worker ends it then, and says why."""
    startup_s: int = Field(default=300, ge=10, le=3600)
    """Longest that a worker may take to be ready for its first job."""
    idle_s: int = Field(ge=2, le=3600)
    """How long a worker without work stays loaded."""
    min_containers: int = Field(default=0, ge=0, le=1000)
    """On Modal: containers that are kept, and paid for, whether jobs come or not."""
    buffer_containers: int = Field(default=0, ge=0, le=1000)
    """On Modal: containers that are kept ready beside those at work, while any is."""
    regions: tuple[Annotated[str, Field(pattern=REGION)], ...] = ()
    """On Modal: where its containers may be, such as eu or us-east. Any of them costs more. Which
    there are Modal alone knows, and says when the app is deployed."""
    platforms: tuple[str, ...] = ()
    """Where its jobs run, in order of preference; names of config.platforms. None leaves it to each
    dispatcher's RYLA_ENGINE."""
    overflow_after_s: float = Field(default=180, ge=1, le=86_400)
    """A job that no worker has started after this goes to another of its platforms, once."""
    down_after_s: float = Field(default=300, ge=1, le=86_400)
    """After a platform did not start a job, no other job goes there for so long; then a single one,
    until that starts."""
    comfyui_flags: tuple[str, ...] = ()
    """Further arguments of ComfyUI's main.py, but for those that the worker sets itself."""
    speed: Literal["measured"] | Speed = "measured"
    """How models are kept and steps computed (workflows.node_pack.Speed), or `measured`: as
    gpus.toml has it for the card, which is never fp8."""
    snapshot: Literal["off", "cpu", "gpu"] = "off"
    """What a container's image of memory holds, from which the next one starts."""

    @model_validator(mode="after")
    def _keeps_no_more_than_it_may_have(self) -> Self:
        if self.min_containers > self.max_containers:
            raise ValueError(
                f"min_containers {self.min_containers} is more than max_containers"
                f" {self.max_containers}"
            )
        return self

    @model_validator(mode="after")
    def _names_each_platform_once(self) -> Self:
        twice = [name for name in self.platforms if self.platforms.count(name) > 1]
        if twice:
            raise ValueError(f"platforms names {twice[0]} twice")
        return self

    @model_validator(mode="after")
    def _leaves_the_workers_flags_alone(self) -> Self:
        for flag in self.comfyui_flags:
            if flag.partition("=")[0] in OF_WORKERS:
                raise ValueError(f"comfyui_flags has {flag}, which the worker sets itself")
        return self

    def speed_on(self, gpu: Gpu) -> Speed:
        """How its models are kept and steps computed on a card."""
        return gpu.speed if self.speed == "measured" else self.speed

    @property
    def dynamic_vram(self) -> bool:
        """Whether ComfyUI's dynamic memory is left on, as it is by itself."""
        return "--disable-dynamic-vram" not in self.comfyui_flags

    @property
    def platform_timeout_s(self) -> int:
        """Longest that a platform lets one job run: a minute above `timeout_s`, because a platform
        that ends a job tells nobody why."""
        return self.timeout_s + 60


class RouteTable(Row):
    routes: Rows[Route]

    def route(self, name: str) -> Route:
        """Raises InvalidSetting for a name of no row."""
        try:
            return self.routes[name]
        except KeyError:
            raise InvalidSetting(
                f"no route named {name!r} in routes.toml",
                field="route",
                value=name,
                hint=f"Known: {', '.join(self.routes)}.",
            ) from None


def load_routes(path: Path | None = None, *, gpus: GpuTable | None = None) -> RouteTable:
    """routes.toml, with `path` laid over it. Raises InvalidSetting, also for a GPU of no row and a
    platform that there is not."""
    table = load_table("routes.toml", path, RouteTable)
    source, known = path or "routes.toml", (gpus or load_gpus()).names
    for route in table.routes.values():
        row = f"routes.{route.name}"
        names = [name.removesuffix("!") for name in route.gpus]
        require_known(names, known, what="GPU", field=f"{row}.gpus", source=source)
        require_known(
            route.platforms, PLATFORMS, what="platform", field=f"{row}.platforms", source=source
        )
    return table

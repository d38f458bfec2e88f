"""Typed readers of the three tables: gpus.toml, routes.toml, models.toml.

A file of the operator's is laid over the packaged one, key by key: it holds only what differs.
"""

import hashlib
import re
import tomllib
from collections.abc import Container, Iterable, Mapping
from datetime import date
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from config.errors import InvalidSetting, MissingModel
from config.validation_errors import first_problem

NO_GPU = "none"
"""Row for a machine that nobody bills by the second: a laptop, the stand-in."""


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _named(rows: Any) -> Any:
    """Give each row its key as its name."""
    if not isinstance(rows, dict):
        return rows
    return {
        key: {**row, "name": key} if isinstance(row, dict) else row for key, row in rows.items()
    }


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


R = TypeVar("R")
Rows = Annotated[Mapping[str, R], BeforeValidator(_named)]
Positive = Annotated[float, Field(gt=0)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Hex40 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EmptyIsNone = BeforeValidator(_none_if_empty)


class Measured(Row):
    """What benchmarks/gpu.py measured on a GPU: pictures of Flux dev at 1024 x 1024 in bf16, on a
    warm worker. Seconds are medians."""

    card: str
    """As its driver names it."""
    date: date
    comfyui: str
    """Version."""
    steps: Annotated[int, Field(ge=1)]
    pictures: Annotated[int, Field(ge=1)]
    """How many the medians are of."""
    seconds: Positive
    """From the worker's first step of a job to its last."""
    sampling_s: Positive
    """Of all steps."""
    decode_s: Positive
    floor_step_s: Positive
    """A step's matrix products and attentions alone, on the same card in the same run."""
    start_s: Positive
    """From the start of the process to the end of the first picture, once."""
    face_pass_s: Positive | None = None
    face_passes: Annotated[int, Field(ge=1)] | None = None

    @property
    def other_s(self) -> float:
        """Beside sampling and decoding."""
        return self.seconds - self.sampling_s - self.decode_s


class Gpu(Row):
    """One row of gpus.toml: what a GPU costs and can do."""

    name: str
    usd_per_second: Price
    memory_gib: Positive | None = None
    """Of the GPU itself, as marketed."""
    bf16_tflops: Positive | None = None
    """Dense peak, as are the other two. None where the chip lacks the format or nobody looked."""
    fp16_tflops: Positive | None = None
    fp8_tflops: Positive | None = None
    bandwidth_gbps: Positive | None = None
    """Of its memory, in 10**9 bytes a second."""
    measured: Measured | None = None
    speed: Literal["stock", "eager", "compiled"] = "stock"
    """How routes that say `measured` are sampled on it."""
    aliases: tuple[str, ...] = ()
    """Other names that may be asked for in routes.toml."""
    reports: tuple[str, ...] = ()
    """Names under which the driver, and so ComfyUI's /system_stats, may report it."""
    source: str
    date: date
    """When `source` was read."""

    @property
    def billed(self) -> bool:
        return self.usd_per_second > 0

    @property
    def peak_tflops(self) -> float | None:
        """Dense 16-bit peak in the format that ComfyUI picks: bf16, or fp16 on chips without it."""
        return self.bf16_tflops or self.fp16_tflops


class PlatformPrices(Row):
    """What another platform than Modal bills, where it differs."""

    name: str
    cpu_usd_per_core_second: Price
    memory_usd_per_gib_second: Price
    volume_usd_per_gib_month: Price
    volume_free_gib: Price
    usd_per_second: Mapping[str, Price]
    """By row of the GPU. A row that is not among these is not to be had there."""
    source: str
    date: date
    """When `source` was read."""


class GpuTable(Row):
    cpu_usd_per_core_second: Price
    memory_usd_per_gib_second: Price
    volume_usd_per_gib_month: Price
    volume_free_gib: Price
    """Of a workspace, for all of its volumes together."""
    broad_region_factor: Annotated[float, Field(ge=1)] = 1.0
    """What a second costs more where a route names regions such as eu."""
    narrow_region_factor: Annotated[float, Field(ge=1)] = 1.0
    """The same of regions such as eu-west."""
    list_usd_per_1000: Price
    """LIST requests to the bucket, which somebody else bills."""
    source: str
    date: date
    """When `source` was read."""
    gpus: Rows[Gpu]
    platforms: Rows[PlatformPrices] = {}

    def on(self, platform: str) -> Self:
        """The table with this platform's prices; itself for one that has no rows of its own. A GPU
        that is not to be had there keeps its price, so that no budget takes it for free."""
        prices = self.platforms.get(platform)
        if prices is None:
            return self
        rows = {
            name: row.model_copy(
                update={"usd_per_second": prices.usd_per_second.get(name, row.usd_per_second)}
            )
            for name, row in self.gpus.items()
        }
        billed = prices.model_dump(exclude={"name", "usd_per_second"})
        of_modal = {"broad_region_factor": 1.0, "narrow_region_factor": 1.0}
        return self.model_copy(update={**billed, **of_modal, "gpus": rows})

    def region_factor(self, regions: Iterable[str]) -> float:
        """What a second costs more in the dearest of these regions; 1 without any."""
        broad, narrow = self.broad_region_factor, self.narrow_region_factor
        return max((narrow if "-" in name else broad for name in regions), default=1.0)

    @model_validator(mode="after")
    def _prices_are_of_its_rows(self) -> Self:
        for prices in self.platforms.values():
            for name in prices.usd_per_second:
                if name not in self.gpus:
                    raise ValueError(f"[platforms.{prices.name}] has a price of no row, {name}")
        return self

    @model_validator(mode="after")
    def _has_none(self) -> Self:
        if NO_GPU not in self.gpus:
            raise ValueError(f"a row [gpus.{NO_GPU}] is needed")
        return self

    @property
    def measured(self) -> tuple[Gpu, ...]:
        """Those that something was measured on."""
        return tuple(gpu for gpu in self.gpus.values() if gpu.measured is not None)

    def gpu(self, name: str) -> Gpu:
        """The row of a GPU by the name that Modal asks for it ("L40S", "A100", "H100!").

        Raises InvalidSetting for a name of no row.
        """
        wanted = name.removesuffix("!")
        for row in self.gpus.values():
            if wanted == row.name or wanted in row.aliases:
                return row
        raise InvalidSetting(
            f"no GPU named {name!r} in gpus.toml",
            field="gpu",
            value=name,
            hint=f"Known: {', '.join(self.gpus)}.",
        )

    def identify(self, device_name: str) -> Gpu:
        """The row of a device by what it calls itself ("cuda:0 NVIDIA L40S : cudaMallocAsync").

        A device of no row is somebody's own: the row for no GPU, under the device's name.
        """
        device = re.sub(r"^(cuda|mps|cpu|xpu):\d+ ", "", device_name).split(" : ")[0].strip()
        for row in self.gpus.values():
            if device.lower() in {each.lower() for each in (row.name, *row.aliases, *row.reports)}:
                return row
        return self.gpus[NO_GPU].model_copy(update={"name": device or NO_GPU})


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
    regions: tuple[str, ...] = ()
    """On Modal: where its containers may be, such as eu or us-east. Any of them costs more."""
    platforms: tuple[str, ...] = ()
    """Where its jobs run, in order of preference, such as modal and runpod. None leaves it to each
    dispatcher's RYLA_ENGINE."""
    overflow_after_s: float = Field(default=180, ge=1, le=86_400)
    """A job that no worker has started after this goes to another of its platforms, once."""
    down_after_s: float = Field(default=300, ge=1, le=86_400)
    """After a platform did not start a job, no other job goes there for so long; then a single one,
    until that starts."""
    comfyui_flags: tuple[str, ...] = ()
    """Further arguments of ComfyUI's main.py."""
    speed: Literal["measured", "stock", "eager", "compiled", "fp8"] = "measured"
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


class WeightFile(Row):
    """One file of weights: where ComfyUI looks for it and where it comes from."""

    name: str
    folder: str = Field(pattern=r"^[a-z0-9_]+$")
    """Folder under ComfyUI's models/."""
    file: str
    """As nodes name it; a subfolder is allowed."""
    family: Literal["flux", "sdxl", "z-image", "face"]
    """Of the base model; `face` for what finds or compares faces."""
    repository: Annotated[str | None, EmptyIsNone] = None
    path: Annotated[str | None, EmptyIsNone] = None
    """Path in the repository. Without a repository, the operator supplies the file."""
    revision: Annotated[Hex40 | None, EmptyIsNone] = None
    """Commit of the repository."""
    bytes: Annotated[int | None, Field(gt=0)] = None
    sha256: Annotated[Hex64 | None, EmptyIsNone] = None
    licence: str
    terms: str | None = None
    """What the licence's name does not tell."""
    commercial_use: bool
    licence_note: Annotated[str | None, EmptyIsNone] = None
    """Where the operator keeps the agreement that allows commercial use all the same."""
    sizes: Mapping[str, int] | None = None
    """Of a model that is not of its family's usual size; what a LoRA must fit is told from them."""
    verified: bool = False
    """Whether bytes and sha256 were checked on a file downloaded for this table."""

    @property
    def base_name(self) -> str:
        """Without subfolder: the name that callers may use, whichever version of it is in use."""
        return PurePosixPath(self.file).name

    @model_validator(mode="after")
    def _inside_its_folder(self) -> Self:
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or "\\" in self.file or not self.file:
            raise ValueError(f"file {self.file!r} leaves its folder")
        return self


class ModelTable(Row):
    weights_by_name: Rows[WeightFile] = Field(alias="weights")
    sets: Mapping[str, Mapping[str, str]]
    """Set name → role in the graph → name of a weight file."""

    @model_validator(mode="after")
    def _sets_name_weights(self) -> Self:
        for set_name, roles in self.sets.items():
            for role, name in roles.items():
                if name not in self.weights_by_name:
                    raise ValueError(f"[sets.{set_name}] {role} names no [weights.{name}]")
        return self

    def weights(self, set_name: str) -> Mapping[str, WeightFile]:
        """Role → file of a set ("flux-dev" → unet, clip_l, t5, vae). Raises MissingModel."""
        roles = self.sets.get(set_name)
        if not roles:
            raise MissingModel(
                f"models.toml lists no weights for {set_name!r}",
                field="model",
                value=set_name,
                hint=f"Write [sets.{set_name}] and its [weights.*] rows into a file and name it"
                " in RYLA_MODELS_FILE.",
            )
        return {role: self.weights_by_name[name] for role, name in roles.items()}

    def files(self, set_names: Iterable[str]) -> Mapping[str, WeightFile]:
        """The files of these sets by name, in the table's order. Raises MissingModel."""
        wanted = {weight.name for name in set_names for weight in self.weights(name).values()}
        return {name: row for name, row in self.weights_by_name.items() if name in wanted}

    def fingerprints(self, files: Container[str]) -> dict[str, str]:
        """Of each set whose files are all among these, as nodes name them."""
        return {
            name: self.fingerprint(name)
            for name, roles in self.sets.items()
            if roles and all(self.weights_by_name[each].file in files for each in roles.values())
        }

    def fingerprint(self, set_name: str) -> str:
        """Raises MissingModel."""
        return fingerprint(self.weights(set_name))


def fingerprint(roles: Mapping[str, WeightFile]) -> str:
    """sha256 over a set's roles, files, revisions and checksums."""
    lines = (
        f"{role} {weight.folder}/{weight.base_name} {weight.revision} {weight.sha256}\n"
        for role, weight in sorted(roles.items())
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


T = TypeVar("T", bound=Row)


def load_gpus(path: Path | None = None) -> GpuTable:
    """gpus.toml, with gpus_measured.toml and then `path` laid over it. Raises InvalidSetting."""
    return load_table("gpus.toml", path, GpuTable, measured="gpus_measured.toml")


def load_routes(path: Path | None = None, *, gpus: GpuTable | None = None) -> RouteTable:
    """routes.toml, with `path` laid over it. Raises InvalidSetting, also for a GPU of no row."""
    table = load_table("routes.toml", path, RouteTable)
    known = gpus or load_gpus()
    for route in table.routes.values():
        for name in route.gpus:
            try:
                known.gpu(name)
            except InvalidSetting as error:
                raise InvalidSetting(
                    f"{path or 'routes.toml'}: routes.{route.name}.gpus: {error.message}",
                    field=f"routes.{route.name}.gpus",
                    value=name,
                    hint=error.hint,
                ) from None
    return table


def load_models(path: Path | None = None) -> ModelTable:
    """models.toml, with `path` laid over it. Raises InvalidSetting."""
    return load_table("models.toml", path, ModelTable)


def load_table(packaged: str, path: Path | None, table: type[T], measured: str | None = None) -> T:
    """A table of this folder, with `measured`, then `path` laid over it. Raises InvalidSetting."""
    content = _packaged(packaged)
    if measured is not None:
        content = _laid_over(content, _packaged(measured))
    if path is not None:
        content = _laid_over(content, _read(path))
    try:
        return table.model_validate(content)
    except ValidationError as error:
        raise _invalid(path or Path(packaged), error) from None


def _packaged(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("config") / name).read_text("utf-8"))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidSetting(f"{path}: {error.strerror}", value=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path}: not TOML: {error}", value=str(path)) from None


def _laid_over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            merged[key] = _laid_over(under, value)
        else:
            merged[key] = value
    return merged


def _invalid(source: Path, error: ValidationError) -> InvalidSetting:
    problem = first_problem(error, _KEYS)
    key = ".".join(problem.path)
    shown = "" if isinstance(problem.value, dict | None) else f" = {problem.value!r}"
    where = f"{key}{shown}: " if key else ""
    return InvalidSetting(
        f"{source}: {where}{problem.message}", field=key, value=problem.value, hint=problem.hint
    )


_KEYS = [
    field.alias or name
    for row in (GpuTable, PlatformPrices, Gpu, Measured, RouteTable, Route, ModelTable, WeightFile)
    for name, field in row.model_fields.items()
]

"""gpus.toml: what GPUs cost and can do, on each platform."""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.errors import InvalidSetting
from config.nearest import require_known
from config.platforms import PLATFORMS
from config.tables import Positive, Row, Rows, load_table

NO_GPU = "none"
"""Row for a machine that nobody bills by the second: a laptop, the stand-in."""
Speed = Literal["stock", "eager", "compiled", "fp8"]
"""How models are kept and steps computed (workflows.node_pack.Speed)."""
STANDS_FOR: Mapping[Speed, tuple[Speed, ...]] = MappingProxyType(
    {
        "stock": ("stock",),
        "eager": ("eager", "stock"),
        "compiled": ("compiled", "stock"),
        "fp8": ("fp8", "compiled", "stock"),
    }
)
"""What is taken for a speed, where it was measured on no card: a slower one."""
Day = date
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Measured(Row):
    """What benchmarks/gpu.py measured on a GPU at one speed: pictures of Flux dev at 1024 x 1024 in
    bf16, on a warm worker. Seconds are medians."""

    card: str
    """As its driver names it."""
    speed: Speed
    dynamic_vram: bool = True
    """Whether ComfyUI ran with its dynamic memory, as it does unless a route's flags say no."""
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
    face_date: Day | None = None
    """Of the run that the face passes are of: the latest that made any."""
    face_pass_s: Positive | None = None
    """InstantID's on a picture of Flux, from its first node to its last."""
    face_passes: Annotated[int, Field(ge=1)] | None = None
    face_step_s: Positive | None = None
    """A step of one. The processor bounds it, which sends some seven thousand kernels."""

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
    measured: Mapping[str, Measured] = Field(default_factory=dict)
    """By speed, and by flags where they matter."""
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

    @property
    def start_s(self) -> float | None:
        """The longest start that was measured on it: that of a machine that had just booted, as a
        fresh container is. None where none was."""
        return max((run.start_s for run in self.measured.values()), default=None)


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
    platforms: Rows[PlatformPrices] = Field(default_factory=dict)

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
    def _names_are_told_apart(self) -> Self:
        seen: dict[str, str] = {}
        for row in self.gpus.values():
            for name in (row.name, *row.aliases):
                if seen.setdefault(name, row.name) != row.name:
                    raise ValueError(f"[gpus.{seen[name]}] and [gpus.{row.name}] are both {name}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All that a GPU may be asked for by."""
        return tuple(name for row in self.gpus.values() for name in (row.name, *row.aliases))

    @model_validator(mode="after")
    def _has_none(self) -> Self:
        if NO_GPU not in self.gpus:
            raise ValueError(f"a row [gpus.{NO_GPU}] is needed")
        return self

    @property
    def measured(self) -> tuple[Gpu, ...]:
        """Those that something was measured on."""
        return tuple(gpu for gpu in self.gpus.values() if gpu.measured)

    def nearest_run(
        self, gpu: Gpu, speed: Speed, *, dynamic_vram: bool
    ) -> tuple[Gpu, Measured] | None:
        """What was measured at this speed on the card itself, else on the one of the nearest peak;
        of several with ComfyUI's memory as asked. None for a card without a peak, and where nothing
        was measured that could stand for it."""
        peak = gpu.peak_tflops
        runs = [
            (card, run, abs(math.log(card.peak_tflops / peak)))
            for card in self.measured
            for run in card.measured.values()
            if peak and card.peak_tflops
        ]
        for each in STANDS_FOR[speed]:
            known = [found for found in runs if found[1].speed == each]
            if known:
                card, run, _ = min(
                    known,
                    key=lambda found: (
                        found[0].name != gpu.name,
                        found[2],
                        found[1].dynamic_vram != dynamic_vram,
                    ),
                )
                return card, run
        return None

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


def load_gpus(path: Path | None = None) -> GpuTable:
    """gpus.toml, with gpus_measured.toml and then `path` laid over it. Raises InvalidSetting."""
    table = load_table("gpus.toml", path, GpuTable, measured="gpus_measured.toml")
    source = path or "gpus.toml"
    require_known(table.platforms, PLATFORMS, what="platform", field="platforms", source=source)
    return table

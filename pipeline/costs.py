"""What a job cost, and what it will cost. Pure arithmetic on gpus.toml and routes.toml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from config.errors import OverBudget
from config.gpus import Gpu, GpuTable, Measured
from config.routes import Route, RouteTable
from handlers.kinds.base import Kind, Work


def usd_per_second(gpu: Gpu, route: Route, table: GpuTable) -> float:
    """The price of holding a GPU with a route's cores and memory; 0 where nobody bills."""
    if not gpu.billed:
        return 0.0
    cpu = table.cpu_usd_per_core_second * route.cpu_cores
    memory = table.memory_usd_per_gib_second * route.memory_gib
    return (gpu.usd_per_second + cpu + memory) * table.region_factor(route.regions)


def cold_start_usd(route: Route, table: GpuTable) -> float:
    """What the start of a worker costs at most, on the route's first GPU: as long as one took on
    that card, else the longest on any, else as long as a start may take."""
    gpu = table.gpu(route.gpus[0])
    known = [gpu] if gpu.measured else table.measured
    seconds = max((each.start_s for each in known if each.start_s is not None), default=None)
    rate = usd_per_second(gpu, route, table)
    return rate * (route.startup_s if seconds is None else seconds)


@dataclass(frozen=True)
class Transformer:
    """What decides the arithmetic of one sampler step."""

    blocks: int
    """Each with one attention over all tokens."""
    hidden: int
    """Width of a token."""
    weights_per_token: int
    """Matmul weights that every token passes, over all blocks."""
    text_tokens: int
    """Beside those of the picture."""
    slower: float = 1.0
    """Than the same arithmetic in bf16."""


# 19 double and 38 single blocks. Either kind has 113,246,208 matmul weights per token: 3072x9216 +
# 3072x3072 + 2x3072x12288 in a double block, 3072x21504 + 15360x3072 in a single one. Modulation
# and the outer layers, 0.02 %, are left out. ComfyUI pads T5's prompt to 256 tokens.
#
# In eight bits: ComfyUI 0.8.0 on an H200, 20 steps at 1024x1024, took 2.98 s in bf16 (median of 6),
# and 3.54 s with weights stored as fp8 and widened layer by layer (of 5).
FLUX = Transformer(57, 3072, 57 * 113_246_208, text_tokens=256)
FLUX_FP8 = replace(FLUX, slower=3.54 / 2.98)

# 30 layers and 2 + 2 refiners of width 3840; 12.3 GB of bf16 weights. Not measured on a GPU: a
# FLOP is taken to need what one of Flux needs.
Z_IMAGE = Transformer(34, 3840, 6_150_000_000, text_tokens=256)


@dataclass(frozen=True)
class UNet:
    """A sampler step as a polynomial in megapixels of 2**20: fixed, linear and quadratic part."""

    flops: tuple[float, float, float]
    slower: float = 1.0
    """As Transformer.slower."""


# Counted operator by operator on the modules that ComfyUI builds (UNet with IdentityNet beside it,
# twice for guidance) at 512, 1024 and 1408 pixels a side: 4.6, 19.6 and 40.5 TFLOP a step. On an
# H200 it was bound by the processor (docs/gpus.md), so a FLOP is taken to need what one of Flux
# needs.
SDXL_INSTANTID = UNet((0.157e12, 17.237e12, 2.169e12))

SAMPLERS: Mapping[str, Transformer | UNet] = MappingProxyType(
    {
        "flux-dev": FLUX,
        "flux-lora": FLUX,
        "flux-schnell": FLUX_FP8,
        "z-image-turbo": Z_IMAGE,
        "sdxl-instantid": SDXL_INSTANTID,
    }
)
"""Kinds that an estimate can be made for."""

PIXELS_PER_TOKEN = 256
"""8x8 by the VAE, 2x2 patches."""
MEASURED_SIDE = 1024
"""Pixels, of the pictures in gpus_measured.toml."""


def step_flops(model: Transformer | UNet, width: int, height: int) -> float:
    """Floating-point operations of one sampler step for one image; `width` and `height` in pixels.

    Of a transformer: 2 for each weight and token, and for the attention of a block 4 x tokens² x
    hidden (queries by keys, then by values).
    """
    if isinstance(model, UNet):
        fixed, linear, quadratic = model.flops
        megapixels = width * height / 2**20
        return fixed + linear * megapixels + quadratic * megapixels**2
    tokens = width * height / PIXELS_PER_TOKEN + model.text_tokens
    linears = 2 * tokens * model.weights_per_token
    attention = model.blocks * 4 * tokens**2 * model.hidden
    return linears + attention


def floor_seconds(model: Transformer | UNet, work: Work, gpu: Gpu) -> float | None:
    """Sampling time of one image at the chip's dense peak; None without one in gpus.toml."""
    if gpu.peak_tflops is None:
        return None
    return work.steps * step_flops(model, work.width, work.height) / (gpu.peak_tflops * 1e12)


TEXT_ENCODE_SECONDS = 0.08


@dataclass(frozen=True)
class Pace:
    """How fast a card works, as measured on it or reckoned from a card that was. Seconds."""

    measured_on: Gpu
    run: Measured
    """Of that card, at the speed at which the route runs, or at a slower one that stands for it."""
    is_own: bool
    """Whether the card is the one that was measured, at its own speed."""
    per_flop: float
    """Of sampling."""
    decode: float
    """Of 2**20 pixels."""
    other: float
    """The same beside sampling and decoding: PNG, HTTP, queue, store."""
    face_step: float
    """The least that a step of SDXL takes, since the processor sends it; 0 where nobody looked."""


def pace(gpu: Gpu, route: Route, table: GpuTable) -> Pace | None:
    """Of a card on a route, at the route's speed and flags. None for a card without a peak, and
    where nothing was measured on any.

    A step is its matrix products and attentions, at the share of the dense peak that the measured
    card's took alone, and a rest. Another card takes the first part by its own peak and the rest,
    which reads and writes memory, by its own bandwidth (by its peak where that is unknown);
    decoding by its peak. What processors do takes as long.
    """
    speed = route.speed_on(gpu)
    nearest = table.nearest_run(gpu, speed, dynamic_vram=route.dynamic_vram)
    peak = gpu.peak_tflops
    if peak is None or nearest is None:
        return None
    source, found = nearest
    of_source = source.peak_tflops
    assert of_source is not None
    flops = step_flops(FLUX, MEASURED_SIDE, MEASURED_SIDE)
    slower = of_source / peak
    by_memory = slower
    if source.bandwidth_gbps and gpu.bandwidth_gbps:
        by_memory = source.bandwidth_gbps / gpu.bandwidth_gbps
    rest = found.sampling_s / found.steps - found.floor_step_s
    step = found.floor_step_s * slower + max(0.0, rest) * by_memory
    return Pace(
        source,
        found,
        is_own=source.name == gpu.name and found.speed == speed,
        per_flop=step / flops,
        decode=found.decode_s * slower,
        other=found.other_s,
        face_step=found.face_step_s or 0.0,
    )


@dataclass(frozen=True)
class Estimate:
    """For a warm worker: weights loaded, nothing else running. None where it is not known."""

    gpu: str
    seconds: float | None
    """At least: each picture made once."""
    usd: float | None
    most_seconds: float | None
    """At most: with all the tries that the job may take. The same as `seconds` where a picture is
    made once whatever it shows."""
    most_usd: float | None


def job_estimate(
    kind: Kind[Any], request: Any, gpu: Gpu, routes: RouteTable, table: GpuTable
) -> Estimate:
    """What a job takes at least and at most. `request` is of the kind's input model; raises
    InvalidSetting where `routes` lacks the kind's."""
    work, most = kind.work(request), kind.most_work(request)
    return estimate(kind.name, work, gpu, routes.route(kind.route), table, most)


def estimate(
    kind: str, work: Work, gpu: Gpu, route: Route, table: GpuTable, most: Work | None = None
) -> Estimate:
    """Time and price of a job on a GPU; `gpu` is the route's first one when budgets are checked.

    Texts once, then for each image sampling, decoding and the rest at the card's pace; then what
    `work.then` takes, likewise. `most` is the work with all tries, None where
    there are none.
    """
    rate = usd_per_second(gpu, route, table)
    found = pace(gpu, route, table)
    seconds = _seconds(kind, work, found)
    most_seconds = seconds if most is None or most == work else _seconds(kind, most, found)
    return Estimate(
        gpu.name, seconds, _price(seconds, rate, gpu), most_seconds, _price(most_seconds, rate, gpu)
    )


def _price(seconds: float | None, rate: float, gpu: Gpu) -> float | None:
    if seconds is None:
        return None if gpu.billed else 0.0
    return seconds * rate


def _seconds(kind: str, work: Work, found: Pace | None) -> float | None:
    model = SAMPLERS.get(work.model or kind)
    if model is None or found is None:
        return None
    megapixels = work.width * work.height / 2**20
    sampling = sampling_seconds(model, work, found)
    image = sampling + megapixels * (found.decode + found.other)
    further = 0.0 if work.then is None else _seconds(kind, work.then, found)
    if further is None:
        return None
    return TEXT_ENCODE_SECONDS + work.images * image + work.other_seconds + further


def sampling_seconds(model: Transformer | UNet, work: Work, found: Pace) -> float:
    """Of one image."""
    step = step_flops(model, work.width, work.height) * found.per_flop * model.slower
    least = found.face_step if isinstance(model, UNet) else 0.0
    return work.steps * max(step, least)


def over_budget(estimate: Estimate, max_cost_usd: float | None) -> OverBudget | None:
    """The refusal of a job whose lower estimate exceeds its budget, or cannot be made; None without
    a budget, or within it."""
    if max_cost_usd is None:
        return None
    if estimate.usd is None:
        return OverBudget(
            f"no estimate can be made on {estimate.gpu}, so the budget of"
            f" ${_written(max_cost_usd)} cannot be kept",
            field="max_cost_usd",
            value=max_cost_usd,
            hint="Leave max_cost_usd out, or give the GPU's rates in RYLA_GPUS_FILE.",
        )
    if estimate.usd <= max_cost_usd:
        return None
    return OverBudget(
        f"the estimate of ${estimate.usd:.6f} ({estimate.seconds:.1f} s on {estimate.gpu})"
        f" exceeds the budget of ${_written(max_cost_usd)}",
        field="max_cost_usd",
        value=max_cost_usd,
        hint=f"Allow ${_up(estimate.usd):g}{_for_all(estimate)}, or ask for fewer pictures, steps"
        " or pixels.",
    )


def _for_all(estimate: Estimate) -> str:
    if estimate.most_usd is None or estimate.most_usd == estimate.usd:
        return ""
    return f" (${_up(estimate.most_usd):g} for all tries)"


@dataclass(frozen=True)
class Bounds:
    """What a job must stay within; None for what is not bounded, or not known."""

    max_cost_usd: float | None = None
    time_limit_s: float | None = None
    """Of one execution, for a job that cannot be handed back between two steps."""
    deadline_s: float | None = None
    """Until its deadline, for a job that may be handed back between two steps: any other is
    finished once it runs."""


def cautions(estimate: Estimate, bounds: Bounds, stops_short: str) -> Iterator[str]:
    """What a sender should know of a job that is taken and may not get all its tries.

    `stops_short` says how such a job ends, such as "as a partial sheet". A job that is
    `over_budget` is told so: it will be refused before a GPU starts.
    """
    refusal = over_budget(estimate, bounds.max_cost_usd)
    if refusal is not None:
        yield f"it will be refused: {refusal.message}. {refusal.hint}"
    elif (most := _above(estimate.most_usd, bounds.max_cost_usd)) is not None:
        yield (
            f"it may end {stops_short}: the estimate is ${estimate.usd:.4f} with each picture made"
            f" once and ${most:.4f} with all tries, and max_cost_usd is ${bounds.max_cost_usd:g}."
            f" ${_up(most):g} pay for all tries."
        )
    limits = (bounds.time_limit_s, "the time limit is"), (bounds.deadline_s, "the deadline is in")
    for limit, name in limits:
        if limit is not None and (most := _above(estimate.most_seconds, limit)) is not None:
            yield (
                f"it may end {stops_short}, or fail: the estimate is {estimate.seconds:.0f} s with"
                f" each picture made once and {most:.0f} s with all tries, and {name}"
                f" {max(0.0, limit):.0f} s."
            )


def _above(most: float | None, bound: float | None) -> float | None:
    """The upper estimate where it exceeds the bound."""
    return None if most is None or bound is None or most <= bound else most


def _written(usd: float) -> str:
    """As a person writes it: 0.00001 and not 1e-05."""
    return f"{Decimal(repr(usd)):f}"


def _up(usd: float) -> float:
    """A little more, in round figures: what a caller can write as the budget."""
    return round(usd * 1.05 + 0.00005, 4)

"""What a job cost, and what it will cost. Pure arithmetic on gpus.toml and routes.toml."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from config.errors import OverBudget
from config.tables import Gpu, GpuTable, Route
from handlers.kinds.base import Work


def usd_per_second(gpu: Gpu, route: Route, table: GpuTable) -> float:
    """The price of holding a GPU with a route's cores and memory; 0 where nobody bills."""
    if not gpu.billed:
        return 0.0
    cpu = table.cpu_usd_per_core_second * route.cpu_cores
    memory = table.memory_usd_per_gib_second * route.memory_gib
    return gpu.usd_per_second + cpu + memory


@dataclass(frozen=True)
class Transformer:
    """What decides the arithmetic of one sampler step, and how far from the floor it runs."""

    blocks: int
    """Each with one attention over all tokens."""
    hidden: int
    """Width of a token."""
    weights_per_token: int
    """Matmul weights that every token passes, over all blocks."""
    text_tokens: int
    """Beside those of the picture."""
    over_floor: float
    """Sampling time in ComfyUI over the chip's dense peak; taken to be the same on all chips."""


# 19 double and 38 single blocks. Either kind has 113,246,208 matmul weights per token: 3072x9216 +
# 3072x3072 + 2x3072x12288 in a double block, 3072x21504 + 15360x3072 in a single one. Modulation
# and the outer layers, 0.02 %, are left out. ComfyUI pads T5's prompt to 256 tokens.
#
# Over the floor: ComfyUI 0.8.0 without compilation on an H200, 20 steps at 1024x1024, took 2.98 s
# in bf16, and 3.54 s with weights stored as fp8 and widened layer by layer, against 1.404 s.
FLUX = Transformer(57, 3072, 57 * 113_246_208, text_tokens=256, over_floor=2.12)
FLUX_FP8 = replace(FLUX, over_floor=2.52)

# 30 layers and 2 + 2 refiners of width 3840; 12.3 GB of bf16 weights. Not measured on a GPU: the
# ratio is Flux's.
Z_IMAGE = Transformer(34, 3840, 6_150_000_000, text_tokens=256, over_floor=FLUX.over_floor)


@dataclass(frozen=True)
class UNet:
    """A sampler step as a polynomial in megapixels of 2**20: fixed, linear and quadratic part."""

    flops: tuple[float, float, float]
    over_floor: float
    """As Transformer.over_floor."""


# Counted operator by operator on the modules that ComfyUI builds (UNet with IdentityNet beside it,
# twice for guidance) at 512, 1024 and 1408 pixels a side: 4.6, 19.6 and 40.5 TFLOP a step. Not
# measured on a GPU: the ratio is Flux's.
SDXL_INSTANTID = UNet((0.157e12, 17.237e12, 2.169e12), over_floor=FLUX.over_floor)

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


# Beside the sampler, from the same measurement: per megapixel (2**20 pixels) VAE decode and PNG
# encode; per prompt HTTP and queue, and ComfyUI's own garbage collection (0.3 s in one of three).
DECODE_SECONDS_PER_MP = 0.10
DECODE_MEASURED_TFLOPS = 990.0
PNG_SECONDS_PER_MP = 0.17
PROMPT_SECONDS = 0.01 + 0.10
TEXT_ENCODE_SECONDS = 0.08


@dataclass(frozen=True)
class Estimate:
    """For a warm worker: weights loaded, nothing else running. None where it is not known."""

    gpu: str
    seconds: float | None
    usd: float | None


def estimate(kind: str, work: Work, gpu: Gpu, route: Route, table: GpuTable) -> Estimate:
    """Time and price of a job on a GPU; `gpu` is the route's first one when budgets are checked.

    Texts once, then for each image the floor times `over_floor`, decoding, saving and a prompt's
    own share; then what `work.then` takes, likewise.
    """
    seconds = _seconds(kind, work, gpu)
    if seconds is None:
        return Estimate(gpu.name, None, None if gpu.billed else 0.0)
    return Estimate(gpu.name, seconds, seconds * usd_per_second(gpu, route, table))


def _seconds(kind: str, work: Work, gpu: Gpu) -> float | None:
    model = SAMPLERS.get(work.model or kind)
    floor = None if model is None else floor_seconds(model, work, gpu)
    if model is None or floor is None or gpu.peak_tflops is None:
        return None
    megapixels = work.width * work.height / 2**20
    decode = DECODE_SECONDS_PER_MP * DECODE_MEASURED_TFLOPS / gpu.peak_tflops
    image = floor * model.over_floor + megapixels * (decode + PNG_SECONDS_PER_MP) + PROMPT_SECONDS
    further = 0.0 if work.then is None else _seconds(kind, work.then, gpu)
    if further is None:
        return None
    return TEXT_ENCODE_SECONDS + work.images * image + work.other_seconds + further


def over_budget(estimate: Estimate, max_cost_usd: float | None) -> OverBudget | None:
    """The refusal of a job whose estimate exceeds its budget, or cannot be made; None without a
    budget, or within it."""
    if max_cost_usd is None:
        return None
    if estimate.usd is None:
        return OverBudget(
            f"no estimate can be made on {estimate.gpu}, so the budget of"
            f" ${max_cost_usd:g} cannot be kept",
            field="max_cost_usd",
            value=max_cost_usd,
            hint="Leave max_cost_usd out, or give the GPU's rates in RYLA_GPUS_FILE.",
        )
    if estimate.usd <= max_cost_usd:
        return None
    return OverBudget(
        f"the estimate of ${estimate.usd:.6f} ({estimate.seconds:.1f} s on {estimate.gpu})"
        f" exceeds the budget of ${max_cost_usd:g}",
        field="max_cost_usd",
        value=max_cost_usd,
        hint=f"Allow ${_up(estimate.usd):g}, or ask for fewer images, steps or pixels.",
    )


def _up(usd: float) -> float:
    """A little more, in round figures: what a caller can write as the budget."""
    return round(usd * 1.05 + 0.00005, 4)

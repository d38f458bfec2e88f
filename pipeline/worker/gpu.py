"""The GPU of a worker: which it is, what ComfyUI is told about it, and which one a job gets next
that found it too small."""

import subprocess
from collections.abc import Callable, Iterable, Sequence

import structlog

from config.tables import Gpu, GpuTable, Route, WeightFile
from handlers.kinds.compatibility import rows, sets_of
from handlers.kinds.registry import KINDS
from pipeline.runtime import RuntimeConfig

GIB = 2**30
ROOM_GIB = 8.0
"""Kept free beside weights: activations, the CUDA context, face models."""

MEMORY_FLAGS = frozenset(
    {"--gpu-only", "--highvram", "--normalvram", "--lowvram", "--novram", "--cpu"}
)
"""Of ComfyUI, which takes one of them at most."""


SECONDS = 15.0
"""The driver's first answer in a fresh container takes a while."""
COMMAND = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


def gpu_name(command: tuple[str, ...] = COMMAND) -> str | None:
    """The name of the first GPU ("NVIDIA L40S"), None where there is no driver or no GPU."""
    try:
        told = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = told.stdout.decode(errors="replace").splitlines()
    return lines[0].strip() or None if told.returncode == 0 and lines else None


def next_gpu(route: Route, gpu: Gpu, table: GpuTable) -> str | None:
    """The GPU for a job that found this one too small, as routes.toml names it.

    The first in order of preference that has more memory: the same amount would be used up again.
    None when there is none, or when nobody knows how much this one has.
    """
    if gpu.memory_gib is None:
        return None
    for name in route.gpus:
        memory_gib = table.gpu(name).memory_gib
        if memory_gib is not None and memory_gib > gpu.memory_gib:
            return name
    return None


def kinds_on(route: str) -> tuple[str, ...]:
    """In the order of the registry, the route's main kind first."""
    return tuple(name for name, kind in KINDS.items() if kind.route == route)


def sets_on(route: str) -> tuple[str, ...]:
    """The sets of weights that a route's kinds use."""
    return sets_of(kinds_on(route))


def takes_loras(route: str) -> bool:
    return any(row.takes_lora for kind in kinds_on(route) for row in rows(kind))


def memory_flags(
    gpu: Gpu | None,
    sets: Iterable[Sequence[WeightFile]],
    *,
    loras: bool,
    given: Sequence[str] = (),
) -> tuple[str, ...]:
    """What to add to `given`, the flags of routes.toml, for this GPU.

    `--gpu-only` keeps the originals of the layers that a LoRA changes on the GPU, where a switch
    takes 0.2 s instead of 9 s; Flux with T5 then takes 53 GB instead of 43 GB. Without LoRAs it
    gains 3 % and makes the first prompt slower, and on a card that is too small it fails: there,
    and where nothing is known, ComfyUI's own choice stands.
    """
    if not loras or gpu is None or gpu.memory_gib is None or MEMORY_FLAGS & {*given}:
        return ()
    needed = max((_resident_gib(files) for files in sets), default=None)
    if needed is None or needed + ROOM_GIB > gpu.memory_gib:
        return ()
    return ("--gpu-only",)


def _resident_gib(files: Sequence[WeightFile]) -> float:
    """Of one graph: all of its weights, and the largest once more as a LoRA's originals."""
    sizes = [float("inf") if file.bytes is None else file.bytes for file in files]
    return (sum(sizes) + max(sizes, default=0)) / GIB


def known_gpu(runtime: RuntimeConfig, gpu_name: Callable[[], str | None] = gpu_name) -> Gpu | None:
    """The GPU of this machine, before ComfyUI can be asked. Raises InvalidSetting."""
    if runtime.settings.gpu is not None:
        return runtime.gpus.gpu(runtime.settings.gpu)
    name = gpu_name()
    return None if name is None else runtime.gpus.identify(name)


def wants_gpu(runtime: RuntimeConfig) -> bool:
    """Whether a worker here is useless without one: on a platform, and where a setting names it."""
    named = runtime.settings.gpu
    return runtime.deployed or (
        named is not None and runtime.gpus.gpu(named).memory_gib is not None
    )


def seen_gpu(runtime: RuntimeConfig, route: Route, device: str) -> Gpu:
    """The row of gpus.toml to bill, by what ComfyUI calls its device. Raises InvalidSetting."""
    if runtime.settings.gpu is not None:
        return runtime.gpus.gpu(runtime.settings.gpu)
    gpu = runtime.gpus.identify(device)
    asked = [runtime.gpus.gpu(name) for name in route.gpus]
    if not runtime.deployed or gpu.name in {each.name for each in asked}:
        return gpu
    # An upgrade by the platform, or a name that gpus.toml does not know yet.
    structlog.get_logger(__name__).warning("another_gpu", device=device, asked=route.gpus)
    return gpu if gpu.name in runtime.gpus.gpus else _billed_all_the_same(gpu, asked)


def _billed_all_the_same(unknown: Gpu, asked: Sequence[Gpu]) -> Gpu:
    """Under its own name at the highest price that was asked for: none would be certainly wrong."""
    dearest = max(asked, key=lambda gpu: gpu.usd_per_second)
    return unknown.model_copy(update={"usd_per_second": dearest.usd_per_second})

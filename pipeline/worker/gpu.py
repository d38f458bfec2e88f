"""The GPU of a worker: which it is, and what it is billed as."""

import subprocess
from collections.abc import Sequence

import structlog

from config.gpus import Gpu
from config.routes import Route
from pipeline.runtime import RuntimeConfig
from workflows.node_pack import Speed

SECONDS = 15.0
"""Longest that nvidia-smi may take: the driver's first answer in a fresh container takes a
while."""
COMMAND = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


def gpu_name(command: tuple[str, ...] = COMMAND) -> str | None:
    """The name of the first GPU ("NVIDIA L40S"), None where there is no driver or no GPU."""
    try:
        told = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = told.stdout.decode(errors="replace").splitlines()
    return lines[0].strip() or None if told.returncode == 0 and lines else None


def wants_gpu(runtime: RuntimeConfig) -> bool:
    """Whether a worker here is useless without one: on a platform, and where a setting names it."""
    named = runtime.settings.gpu
    return runtime.deployed or (
        named is not None and runtime.gpus.gpu(named).memory_gib is not None
    )


def speed_of(route: Route, gpu: Gpu) -> Speed:
    return Speed(gpu.speed if route.speed == "measured" else route.speed)


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

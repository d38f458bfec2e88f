"""The GPU of a worker: which it is, and what it is billed as."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from config.gpus import Gpu
from config.routes import Route
from pipeline.runtime import RuntimeConfig
from workflows.node_pack import Speed

SECONDS = 15.0
"""Longest that nvidia-smi may take: the driver's first answer in a fresh container takes a
while."""
COMMAND = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
CARDS = ("nvidia-smi", "--query-gpu=index,uuid,memory.total,name", "--format=csv,noheader,nounits")
"""Memory is in MiB; a name may have a comma."""


@dataclass(frozen=True)
class SeenCard:
    """A GPU of this machine."""

    index: str
    """As nvidia-smi counts, which goes by the bus."""
    uuid: str
    name: str
    memory_bytes: int | None
    """None where the driver does not tell, as of a GPU that is cut into parts."""

    def is_called(self, device: str) -> bool:
        """Whether CUDA_VISIBLE_DEVICES means it by `device`, where CUDA counts by the bus."""
        return device == self.index or (device.startswith("GPU-") and self.uuid.startswith(device))


def gpu_name(command: tuple[str, ...] = COMMAND) -> str | None:
    """The name of the first GPU ("NVIDIA L40S"), None where there is no driver or no GPU."""
    lines = _told(command)
    return lines[0].strip() or None if lines else None


def seen_cards(command: tuple[str, ...] = CARDS) -> tuple[SeenCard, ...]:
    """All GPUs of this machine; none where there is no driver, or it does not answer in time."""
    cards = []
    for line in _told(command):
        index, uuid, memory, name = (each.strip() for each in f"{line},,,".split(",", 3))
        mib = int(memory) if memory.isdecimal() else None
        bytes = None if mib is None else mib * 2**20
        cards.append(SeenCard(index, uuid, name.rstrip(","), bytes))
    return tuple(cards)


def _told(command: tuple[str, ...]) -> list[str]:
    try:
        told = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return told.stdout.decode(errors="replace").splitlines() if told.returncode == 0 else []


def wants_gpu(runtime: RuntimeConfig) -> bool:
    """Whether a worker here is useless without one: on a platform, and where a setting names it."""
    named = runtime.settings.gpu
    return runtime.deployed or (
        named is not None and runtime.gpus.gpu(named).memory_gib is not None
    )


def speed_of(route: Route, gpu: Gpu) -> Speed:
    return Speed(route.speed_on(gpu))


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

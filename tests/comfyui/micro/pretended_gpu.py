"""As sitecustomize: a torch without CUDA says what one on a Hopper card says, while
CUDA_VISIBLE_DEVICES leaves a device visible. Nothing can be computed on it.

So the decisions that ComfyUI takes by the GPU while it starts can be seen on a processor.
"""

import os
from importlib import import_module
from types import SimpleNamespace

import torch

MEMORY = 80 * 2**30


def count() -> int:
    return 0 if os.environ.get("CUDA_VISIBLE_DEVICES") == "" else 1


def asked(answer: object) -> object:
    def answered(*_: object, **__: object) -> object:
        if not count():
            raise RuntimeError("No CUDA GPUs are available")
        return answer

    return answered


torch.version.cuda = "13.0"
torch.cuda.device_count = count
torch.cuda.is_available = lambda: count() > 0
for name, answer in {
    "current_device": torch.device("cuda", 0),
    "memory_stats": {f"{what}_bytes.all.current": 0 for what in ("reserved", "active")},
    "mem_get_info": (MEMORY, MEMORY),
    "get_device_name": "NVIDIA H100 80GB HBM3",
    "get_device_capability": (9, 0),
    "get_device_properties": SimpleNamespace(major=9, minor=0, total_memory=MEMORY),
    "get_allocator_backend": "native",
    "synchronize": None,
    "empty_cache": None,
    "ipc_collect": None,
}.items():
    setattr(torch.cuda, name, asked(answer))
aimdo = import_module("comfy_aimdo.control")
aimdo.init_devices = lambda devices: len([*devices]) > 0  # type: ignore[attr-defined]

"""What a ComfyUI says it is, over /system_stats."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COMFYUI = "comfyui"
STANDIN = "standin"
"""The engine of what no model drew."""


@dataclass(frozen=True)
class ComfyInfo:
    """What runs the graphs, as it says itself."""

    engine: str
    """`comfyui` or `standin`."""
    comfyui_version: str | None
    device: str
    """Name of the first device, such as `cuda:0 NVIDIA L40S : cudaMallocAsync`; `unknown` for
    none."""
    memory_bytes: int | None = None
    """Of the device, in all."""

    @property
    def is_comfyui(self) -> bool:
        return self.engine == COMFYUI

    @property
    def lacks_gpu(self) -> bool:
        """Whether it would compute pictures without a GPU. The stand-in computes none."""
        return self.is_comfyui and not self.device.lower().startswith("cuda")

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> "ComfyInfo":
        """Read off an answer of /system_stats."""
        system, devices = stats.get("system", {}), stats.get("devices", [])
        memory = devices[0].get("vram_total") if devices else None
        return cls(
            engine=str(system.get("engine", COMFYUI)),
            comfyui_version=system.get("comfyui_version"),
            device=str(devices[0].get("name", "unknown")) if devices else "unknown",
            memory_bytes=memory if isinstance(memory, int) else None,
        )

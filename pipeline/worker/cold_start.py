"""What the first job of a worker waited for, part by part. Pure."""

from dataclasses import dataclass

from handlers.kinds.base import Timings
from pipeline.contract.result import ColdParts
from pipeline.models.preload import PreloadReport


@dataclass(frozen=True)
class ColdStart:
    """Seconds."""

    container: float = 0.0
    """The process was born → our code began to load."""
    imports: float = 0.0
    """→ modules, tables and clients loaded."""
    comfyui: float = 0.0
    """→ ComfyUI answered and its device was looked at."""

    @property
    def seconds(self) -> float:
        """Of all parts together; 0 for a job that waited for nothing."""
        return self.container + self.imports + self.comfyui

    def parts(self, timings: Timings, preload: PreloadReport) -> ColdParts | None:
        """None for a job that waited for nothing. `timings` are that job's."""
        if not self.seconds:
            return None
        return ColdParts(
            container=self.container,
            imports=self.imports,
            comfyui=self.comfyui,
            weights=timings.load,
            first_step=timings.first_step,
            read_ahead=preload.seconds,
            read_ahead_bytes=preload.bytes,
        )


WARM = ColdStart()

"""A mounted volume of the platform, as the LoRA cache sees it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.loras.cache import VolumeBusy


class Handle(Protocol):
    """What the platform's own object can do."""

    def reload(self) -> None: ...

    def commit(self) -> None: ...


@dataclass(frozen=True)
class MountedVolume:
    """Others see what was committed once they reload."""

    folder: Path
    handle: Handle

    def reload(self) -> None:
        try:
            self.handle.reload()
        except RuntimeError as error:  # what the platform raises for a file that is open
            raise VolumeBusy(str(error)) from error

    def commit(self) -> None:
        self.handle.commit()

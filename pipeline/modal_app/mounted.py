"""A mounted volume of the platform, as the LoRA cache sees it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

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
        """Raises VolumeBusy, whatever the platform raised."""
        try:
            self.handle.reload()
        except Exception as error:  # an open file, or any outage of the platform
            raise VolumeBusy(f"{type(error).__name__}: {error}") from error

    def commit(self) -> None:
        """Best effort: what it keeps can be had again, and the platform commits by itself too."""
        try:
            self.handle.commit()
        except Exception as error:  # noqa: BLE001  of the platform, as above
            log = structlog.get_logger(__name__)
            log.warning("volume_not_committed", folder=str(self.folder), error=str(error))


def look_again(folder: Path | None, handle: Handle) -> None:
    """See what others have committed since, if it is mounted and can be reloaded now."""
    if folder is not None:
        with suppress(VolumeBusy):
            MountedVolume(folder, handle).reload()

"""A volume shared between machines, each with a mount of its own: nothing is seen uncommitted."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.loras.cache import VolumeBusy


@dataclass
class Mount:
    """One machine's view of the volume whose truth lies in `origin`."""

    origin: Path
    folder: Path
    file_open: bool = False
    seen: set[Path] = field(default_factory=set)

    def reload(self) -> None:
        if self.file_open:
            raise VolumeBusy("a file is open")
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.origin.exists():
            shutil.copytree(self.origin, self.folder)
        self.seen = files_in(self.folder)

    def commit(self) -> None:
        """File by file: what was written is written there, what was deleted is deleted there."""
        here = files_in(self.folder)
        for path in self.seen - here:
            (self.origin / path).unlink(missing_ok=True)
        if self.folder.exists():
            shutil.copytree(self.folder, self.origin, dirs_exist_ok=True)
        self.seen = here


def files_in(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}

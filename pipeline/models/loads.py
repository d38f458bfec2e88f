"""Which weights a worker has loaded: each set is told of once, by the first job that used it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from config.models import ModelTable, WeightFile
from pipeline.models.preload import PreloadReport


class Source(StrEnum):
    """Where a worker had weights from."""

    VOLUME = "volume"
    CACHE = "cache"
    """Memory: they were read ahead while ComfyUI started."""
    LOCAL = "local"


@dataclass(frozen=True)
class LoadedModel:
    name: str
    """A set of models.toml, or a single file that belongs to no set that is complete."""
    bytes: int | None
    seconds: float
    """Of all that ComfyUI's loaders took in that job, the share of these bytes."""
    source: Source


@dataclass
class ModelLoads:
    """Of one worker process."""

    models: ModelTable
    on_volume: bool = False
    folder: Path | None = None
    """Where the files lie, if that is known."""
    read_ahead: Callable[[], PreloadReport] = PreloadReport
    _told: set[str] = field(default_factory=set)

    def first(self, files: Collection[str], seconds: float) -> list[LoadedModel]:
        """What these files are that no earlier job used. `seconds` is what loading took."""
        used = {
            name: weights
            for name, weights in used_models(self.models, files).items()
            if name not in self._told
        }
        self._told.update(used)
        sizes = {name: self._bytes(weights) for name, weights in used.items()}
        total = sum(size or 0 for size in sizes.values())
        return [
            LoadedModel(
                name,
                sizes[name],
                seconds * (sizes[name] or 0) / total if total else seconds / len(used),
                self._source(weights),
            )
            for name, weights in used.items()
        ]

    def _bytes(self, weights: Collection[WeightFile]) -> int | None:
        sizes = [weight.bytes or self._found_bytes(weight) for weight in weights]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def _found_bytes(self, weight: WeightFile) -> int | None:
        path = None if self.folder is None else self.folder / weight.folder / weight.file
        return path.stat().st_size if path is not None and path.is_file() else None

    def _source(self, weights: Collection[WeightFile]) -> Source:
        if self.folder is not None:
            paths = {self.folder / weight.folder / weight.file for weight in weights}
            if paths <= self.read_ahead().whole:
                return Source.CACHE
        return Source.VOLUME if self.on_volume else Source.LOCAL


def used_models(models: ModelTable, files: Collection[str]) -> Mapping[str, tuple[WeightFile, ...]]:
    """The complete sets among these files, by name, and what is left over file by file."""
    used = {
        weight.name: weight for weight in models.weights_by_name.values() if weight.file in files
    }
    complete = {
        name: tuple(used[each] for each in dict.fromkeys(roles.values()))
        for name, roles in models.sets.items()
        if used.keys() >= set(roles.values())
    }
    covered = {weight.name for weights in complete.values() for weight in weights}
    return complete | {name: (weight,) for name, weight in used.items() if name not in covered}

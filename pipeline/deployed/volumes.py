"""The named volumes of the platform."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final, Literal

from pipeline.deployed.layout import CACHE, LORAS, MODELS

Version = Literal[1, 2]
VERSION: Final = 2
"""Of the platform's volumes: many writers, and no limit on the number of files."""


@dataclass(frozen=True)
class NamedVolume:
    name: str
    path: PurePosixPath
    holds: str

    @property
    def command(self) -> str:
        """What makes it. The deploy does so by itself."""
        return f"modal volume create {self.name} --version {VERSION}"


WEIGHTS = NamedVolume("ryla-models", MODELS, "weights and face packs, read-only in workers")
LORA_FILES = NamedVolume("ryla-loras", LORAS, "LoRAs that workers have pulled from the bucket")
KERNELS = NamedVolume("ryla-cache", CACHE, "kernels that were compiled on a GPU")

ALL: Mapping[str, NamedVolume] = MappingProxyType(
    {volume.name: volume for volume in (WEIGHTS, LORA_FILES, KERNELS)}
)

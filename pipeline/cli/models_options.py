"""What the commands of `ryla models` take, and what of the table they are about."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from config.models import ModelTable, WeightFile
from config.settings import Settings, load_settings
from pipeline.models.activation import candidate
from pipeline.models.models_folder import models_folder
from pipeline.models.sets import active_sets

Sets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SET]...", help="Sets of models.toml; those of the available kinds."),
]
Dir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Models folder (RYLA_MODELS_DIR).", show_default=""),
]


@dataclass(frozen=True)
class Selection:
    """Sets of the table, and where their files lie or are to lie."""

    settings: Settings
    models: ModelTable
    sets: tuple[str, ...]
    named: Path | None
    """The models folder, where one is named."""

    @property
    def weights(self) -> tuple[WeightFile, ...]:
        return tuple(self.models.files(self.sets).values())

    @property
    def folder(self) -> Path:
        """Raises InvalidSetting where none is named."""
        return self.named or models_folder(self.settings)


def select(sets: list[str] | None, dir: Path | None) -> Selection:
    """As models.toml says; the sets of the available kinds unless some are named."""
    settings = load_settings(os.environ)
    named = dir
    if named is None and (settings.models_dir or settings.comfyui_dir):
        named = models_folder(settings)
    models = candidate(settings.models_file, named)
    return Selection(settings, models, tuple(sets) if sets else active_sets(models), named)


def gb(bytes: int | None) -> str:
    """In units of 10^9 bytes, without the unit."""
    return "?" if bytes is None else f"{bytes / 1e9:.2f}"

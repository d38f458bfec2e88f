"""What several commands of `ryla models` take."""

from pathlib import Path
from typing import Annotated

import typer

Sets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SET]...", help="Sets of models.toml; those of the available kinds."),
]
Dir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="Models folder (RYLA_MODELS_DIR).", show_default=""),
]

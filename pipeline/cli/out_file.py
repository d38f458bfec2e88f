"""A file that an option names, written as a whole or not at all."""

from pathlib import Path

from config.errors import InvalidInput
from pipeline.datasets.zip_destination import whole_file


def write_out(path: Path, body: bytes) -> None:
    """Raises InvalidInput."""
    try:
        with whole_file(path) as file:
            file.write(body)
    except OSError as error:
        why = f"{path} cannot be written: {error.strerror}"
        hint = "Make room there, or name another place."
        raise InvalidInput(why, field="--out", value=str(path), hint=hint) from None

"""Tables of an operator's own."""

from pathlib import Path


def written(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, "utf-8")
    return path

"""Manifests on this machine: .json files, folders of them, and JSONL with one a line."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from config.errors import InvalidInput
from pipeline.contract.document import other_form

SUFFIXES = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Source:
    """One manifest as it was found."""

    name: str
    """The file, with the line in a JSONL file."""
    folder: Path
    """What its paths are relative to."""
    body: bytes
    file_id: str | None
    """The id that its file's name gives. None for a line, which may carry an `id` of its own."""


def read_sources(paths: Iterable[Path]) -> Iterator[Source]:
    """Every manifest, in the order named; a folder's by name. Raises InvalidInput."""
    for path in paths:
        if not path.is_dir():
            yield from _file(path)
            continue
        inside = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES)
        if not inside:
            raise InvalidInput(
                f"{path} holds no manifests",
                field="FILE",
                value=str(path),
                hint=f"Files ending in {', '.join(SUFFIXES)} are read, folders inside are not.",
            )
        for each in inside:
            yield from _file(each)


def _file(path: Path) -> Iterator[Source]:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}", field="FILE", value=str(path)
        ) from None
    if path.suffix not in SUFFIXES[1:] or other_form(body) is not None:
        yield Source(str(path), path.parent, body, path.stem)
        return
    # Lines are told apart in text alone; other bytes are one manifest, which is refused by name.
    for number, line in enumerate(body.splitlines(), start=1):
        if line.strip():
            yield Source(f"{path}:{number}", path.parent, line, None)

"""Versions of the weights: which file stands behind each role of a set, as a history.

    <models folder>/versions/000001.json, 000002.json …    the last one is in use

Each activation and each rollback adds an entry; none is changed, and no weight file that one names
is ever overwritten. So a rollback needs no download, and whoever reads sees one entry or the next.
Sets that no entry names follow models.toml.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal
from uuid import uuid4

from pydantic import ValidationError

from config.errors import InvalidSetting, ModelError, ModelsChanged
from config.models import ModelTable, WeightFile, fingerprint
from config.tables import Row

FOLDER = "versions"
ID_DIGITS = 12
"""Of a content's sha256 or revision, in the names of folders and rows."""
_NAME = re.compile(r"[0-9]{6}\.json")
_ID = re.compile(f"[0-9a-f]{{{ID_DIGITS}}}")

Sets = Mapping[str, Mapping[str, WeightFile]]
"""Set → role → file."""


class Version(Row):
    v: int = 1
    number: int
    """From 1."""
    action: Literal["activate", "rollback"]
    back_to: int | None = None
    """Of a rollback: the entry that it repeats."""
    at: datetime
    """By the clock of whoever made it."""
    sets: Sets
    """All that are in use with it, those that it left alone too."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """By set, as they stand in results."""
        return {name: fingerprint(roles) for name, roles in self.sets.items()}

    @property
    def origin(self) -> int:
        """The entry that first said the same."""
        return self.back_to or self.number


def history(models: Path) -> list[Version]:
    """All entries of a models folder, the last one in use. Raises InvalidSetting."""
    return [_read(file) for file in _files(models)]


def latest(models: Path) -> Version | None:
    """The entry in use. Raises InvalidSetting."""
    files = _files(models)
    return _read(files[-1]) if files else None


def _files(models: Path) -> list[Path]:
    folder = models / FOLDER
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(file for file in files if _NAME.fullmatch(file.name))


def append(models: Path, version: Version) -> None:
    """Make it the one in use. Raises ModelsChanged when another entry came first."""
    folder, text = models / FOLDER, version.model_dump_json(indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / f"{version.number:06}.json", folder / f".{uuid4().hex}.part"
    try:
        _write_new(part, text)
        try:
            os.link(part, target)  # whole, and only if it is not there
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            _write_new(target, text)
    except FileExistsError:
        raise ModelsChanged(
            f"somebody else has made version {version.number} meanwhile",
            value=str(target),
            hint="Look at `ryla models history` and `ryla models diff`, then do it again.",
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _write_new(path: Path, text: str) -> None:
    """Raises FileExistsError."""
    with path.open("x") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read(file: Path) -> Version:
    try:
        return Version.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise InvalidSetting(
            f"{file} cannot be read: {str(error).splitlines()[0]}",
            value=str(file),
            hint="It says which weights are in use. Put it back as it was; if it was never used,"
            " remove it.",
        ) from None


def in_use(table: ModelTable, version: Version | None) -> ModelTable:
    """The table with the sets of a version as they were when it was made."""
    if version is None:
        return table
    rest = {name: table.weights(name) for name in table.sets if name not in version.sets}
    rows: dict[str, WeightFile] = {}
    sets = {
        name: {role: _named(weight, rows, table) for role, weight in roles.items()}
        for name, roles in {**version.sets, **rest}.items()
    }
    in_sets = {name for roles in table.sets.values() for name in roles.values()}
    for name, weight in table.weights_by_name.items():
        if name not in in_sets:  # for graphs of callers
            rows.setdefault(name, weight)
    return ModelTable.model_validate({"weights": rows, "sets": sets})


def _named(weight: WeightFile, rows: dict[str, WeightFile], table: ModelTable) -> str:
    """The name under which it is in `rows` now. Two that share one are told apart by content."""
    name = weight.name
    if name in rows and not same_file(rows[name], weight):
        name = f"{name}@{content(weight)[:ID_DIGITS]}"
    known = table.weights_by_name.get(weight.name)
    # What was learned of the same file since, such as a licence note, holds; what makes the
    # fingerprint stays as it was activated.
    facts = known if known is not None and same_file(known, weight) else weight
    kept = {"name": name, "revision": weight.revision, "sha256": weight.sha256}
    rows.setdefault(name, facts.model_copy(update=kept))
    return name


def files_kept(models: Path) -> list[WeightFile]:
    """The files that a version names: none of them may be overwritten. Raises InvalidSetting."""
    return [
        weight
        for entry in history(models)
        for roles in entry.sets.values()
        for weight in roles.values()
    ]


def placed(table: ModelTable, kept: Sequence[WeightFile]) -> ModelTable:
    """The table with each file where none of another version lies. Raises ModelError."""
    rows = {name: place(row, kept) for name, row in table.weights_by_name.items()}
    return ModelTable.model_validate({"weights": rows, "sets": table.sets})


def place(weight: WeightFile, kept: Iterable[WeightFile]) -> WeightFile:
    """Where it lies already, else in its own place, else in a folder named by its content.

    Raises ModelError for a face pack, which is found by the names of its folder and files.
    """
    rivals = [old for old in kept if old.folder == weight.folder]
    aside = str(_own_place(weight) / content(weight)[:ID_DIGITS] / weight.base_name)
    for old in rivals:
        if old.file in (weight.file, aside) and same_content(old, weight):
            return weight.model_copy(update={"file": old.file})
    if not any(old.file == weight.file for old in rivals):
        return weight
    if weight.family == "face":
        raise ModelError(
            f"{weight.folder}/{weight.file} is in use with another content, and a face pack cannot"
            " lie anywhere else",
            value=weight.name,
            hint="Give the new pack a folder of its own, and name it in RYLA_FACES_PACK or"
            " RYLA_INSTANTID_FACES_PACK.",
        )
    return weight.model_copy(update={"file": aside})


def _own_place(weight: WeightFile) -> PurePosixPath:
    """The folder that it would lie in if it were the first."""
    parent = PurePosixPath(weight.file).parent
    return parent.parent if _ID.fullmatch(parent.name) else parent


def is_aside(weight: WeightFile) -> bool:
    """Whether it lies in a folder named by its content, beside another version."""
    return _own_place(weight) != PurePosixPath(weight.file).parent


def content(weight: WeightFile) -> str:
    """What tells two versions of a file apart; empty where nothing is known of it."""
    return weight.sha256 or weight.revision or ""


def same_content(one: WeightFile, other: WeightFile) -> bool:
    """False only where both are known and differ."""
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return one.revision == other.revision or not (one.revision and other.revision)


def same_file(one: WeightFile, other: WeightFile) -> bool:
    """Of the same place, and not known to differ in content."""
    return (one.folder, one.file) == (other.folder, other.file) and same_content(one, other)

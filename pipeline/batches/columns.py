"""What the columns of a file of characters mean: a row becomes a manifest's document. Pure.

The columns are the fields of a character sheet's input and those of its manifest, with words for
what a cell cannot hold as it is: lists, numbers, yes and no.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, NoneType
from typing import Any, get_args

from config.nearest import nearest
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.views import PRESETS
from handlers.kinds.base import image_fields
from pipeline.batches.character_file import FileRow
from pipeline.batches.problems import Problems, row_problem
from pipeline.contract.keys import clip
from pipeline.sheets.cells import SHEET

CHARACTER = "character"
REFERENCES = "reference_images"
METADATA = "metadata."
"""Begins a column that is repeated in the result, under what follows."""
BETWEEN = "|"
"""Between the parts of a cell that holds several."""

ALIASES: Mapping[str, str] = MappingProxyType({"name": CHARACTER, "reference_image": REFERENCES})
_REFERENCE = re.compile(r"reference_images?_?[0-9]+\Z")
_NOT_PICTURES = ("inputs/", "@", "file:", "data:", "http:", "https:")
"""Begins what is no path of a picture on this machine, or is said to be one."""
_YES, _NO = ("yes", "true", "1", "x"), ("no", "false", "0")


class _Unfit(ValueError):
    """A cell that its column cannot have; `hint` says what it can."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _text(cell: str) -> Any:
    return cell


def _whole(cell: str) -> Any:
    try:
        return int(cell)
    except ValueError:
        raise _Unfit(f"{clip(cell)!r} is no whole number", "Such as 3.") from None


def _number(cell: str) -> Any:
    plain = cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell
    try:
        value = float(plain)
    except ValueError:
        raise _Unfit(f"{clip(cell)!r} is no number", "Such as 0.85.") from None
    if value - value != 0:
        raise _Unfit(f"{clip(cell)!r} is no number", "Such as 0.85.")
    return value


def _yes_no(cell: str) -> Any:
    word = cell.lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise _Unfit(f"{clip(cell)!r} is neither yes nor no", "Write yes or no, or leave it empty.")


def _list(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(BETWEEN) if part.strip()]


def _pictures(cell: str) -> Any:
    return [_picture(part) for part in _list(cell)]


def _picture(part: str) -> str:
    return part if part.lower().startswith(_NOT_PICTURES) else f"@{part}"


def _json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise _Unfit(f"{clip(cell)!r} is not JSON", "As in a manifest.") from None


@dataclass(frozen=True)
class _Named:
    """Views of a preset, by their names."""

    preset: str
    ids: tuple[str, ...]


def _views(cell: str) -> Any:
    """A preset, names of views that one preset has, or a list of own views as JSON."""
    if cell in {*PRESETS}:
        return cell
    if cell.startswith("["):
        return _json(cell)
    ids = tuple(_list(cell.replace(",", BETWEEN)))
    for preset, views in PRESETS.items():
        if {*ids} <= {view.id for view in views}:
            return _Named(preset.value, ids)
    known = [view.id for views in PRESETS.values() for view in views]
    unknown = next((id for id in ids if id not in known), None)
    if unknown is None:
        raise _Unfit("these are views of two presets", f"Presets: {', '.join(PRESETS)}.")
    guess = nearest(unknown, [*known, *(preset.value for preset in PRESETS)])
    raise _Unfit(
        f"{clip(unknown)!r} is neither a preset nor a view of one",
        f"Did you mean {guess!r}?" if guess else f"Presets: {', '.join(PRESETS)}.",
    )


Reader = Callable[[str], Any]


@dataclass(frozen=True)
class Column:
    path: tuple[str, ...]
    """In the manifest."""
    read: Reader
    """Of a cell without spaces around it. Raises _Unfit."""


@cache
def columns() -> Mapping[str, Column]:
    """By name."""
    pictures = {*image_fields(CharacterSheetInput)}
    own = {
        (CHARACTER if name == "name" else name): Column(
            ("input", name), _pictures if name in pictures else _reader(name, info.annotation)
        )
        for name, info in CharacterSheetInput.model_fields.items()
    }
    return {
        **own,
        "priority": Column(("priority",), _whole),
        "max_cost_usd": Column(("max_cost_usd",), _number),
        "deadline": Column(("deadline",), _text),
        "distinct_id": Column(("distinct_id",), _text),
        "callback_url": Column(("callback_url",), _text),
        "consent": Column(("consent", "subject"), _text),
        "consent_record": Column(("consent", "record"), _text),
    }


def _reader(name: str, annotation: Any) -> Reader:
    """How a field's cell is read, by the field's type."""
    special: Mapping[str, Reader] = {"views": _views, "view_ids": _list, "sizes": _json}
    plain = {part for part in (annotation, *get_args(annotation)) if isinstance(part, type)}
    if name in special:
        return special[name]
    for of, read in ((bool, _yes_no), (int, _whole), (float, _number)):
        if of in plain - {NoneType}:
            return read
    return _text


def column_of(name: str) -> str | None:
    """The column that a header means, None for an unknown one."""
    plain = re.sub(r"[\s-]+", "_", name.strip().lower())
    if plain.startswith(METADATA) and len(plain) > len(METADATA):
        return METADATA + name.strip()[len(METADATA) :]
    plain = ALIASES.get(plain, plain)
    if _REFERENCE.match(plain):
        return REFERENCES
    return plain if plain in columns() or plain == METADATA[:-1] else None


def unknown_columns(rows: Iterable[FileRow], problems: Problems) -> None:
    """Names each once, with the first row that fills it."""
    seen = set[str]()
    for row in rows:
        for name in row.values:
            if name not in seen and column_of(name) is None:
                problems.add(row_problem(row.row, name, "unknown column", hint=_meant(name)))
            seen.add(name)


def _meant(name: str) -> str:
    if name.strip().lower() == "tenant":
        return "A batch is of one tenant: give --tenant."
    guess = nearest(name.strip().replace(" ", "_"), [*columns(), "name"])
    if guess:
        return f"Did you mean {guess!r}?"
    return f"Known: {', '.join(columns())}; {METADATA}… for what is yours."


def document_of(row: FileRow, problems: Problems) -> dict[str, Any] | None:
    """The manifest of a row as it is written, or None where a cell does not fit; nothing is
    checked that a manifest's own checks find."""
    document: dict[str, Any] = {"version": 1, "model": SHEET, "input": {}}
    by_column = dict[str, str]()
    fits = True
    for name, value in row.values.items():
        column = column_of(name)
        if column is None:
            fits = False
            continue
        try:
            other = by_column.setdefault(column, name)
            if other != name and column != REFERENCES:
                raise _Unfit(f"it means the same as {other!r}", "Keep one of the two.")
            _put(document, column, _value(column, value))
        except _Unfit as error:
            problems.add(row_problem(row.row, name, str(error), value=value, hint=error.hint))
            fits = False
    return document if fits else None


def _value(column: str, value: Any) -> Any:
    if column == REFERENCES and isinstance(value, list):
        return [_picture(part) if isinstance(part, str) else part for part in value]
    known = columns().get(column)
    return known.read(value.strip()) if isinstance(value, str) and known is not None else value


def _put(document: dict[str, Any], column: str, value: Any) -> None:
    if column.startswith(METADATA):
        _mapping(document, "metadata")[column[len(METADATA) :]] = value
    elif column == METADATA[:-1] and isinstance(value, dict):
        _mapping(document, "metadata").update(value)
    elif column == METADATA[:-1] or (column == "consent" and isinstance(value, dict)):
        document[column] = value
    elif column == REFERENCES and isinstance(value, list):
        document["input"].setdefault(REFERENCES, []).extend(value)
    elif column == "views" and isinstance(value, _Named):
        document["input"].update(views=value.preset, view_ids=list(value.ids))
    else:
        *parents, last = columns()[column].path
        place = document
        for parent in parents:
            place = _mapping(place, parent)
        place[last] = value


def _mapping(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.setdefault(name, {})
    if not isinstance(found, dict):
        raise _Unfit(f"{name} is given in two forms", "Keep one of the two.")
    return found

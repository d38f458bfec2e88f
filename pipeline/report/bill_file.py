"""Bills that a platform exported, as files: CSV or JSON.

- Modal: what `modal billing report --csv` or `--json` prints: Object ID, Description, Environment,
  Interval Start, Cost, and with --show-resources Resource. A time without a zone is UTC.
- RunPod: what `GET https://rest.runpod.io/v1/billing/endpoints` answers (or `/pods`,
  `/networkvolumes`): amount, time, timeBilledMs, diskSpaceBilledGb, and endpointId, podId or
  gpuTypeId, by which it was grouped. The same names as the header of a CSV do as well.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from io import StringIO
from pathlib import Path
from typing import Any

from config.errors import InvalidInput

MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Billed:
    """One row of a bill."""

    platform: str
    day: str
    """YYYY-MM-DD, UTC: that on which what was billed began."""
    name: str
    """Of the app, as Modal describes it, or the id of what RunPod billed; empty for neither."""
    usd: float


@dataclass(frozen=True)
class _Form:
    """Columns, in small letters and digits alone."""

    platform: str
    when: str
    usd: str
    names: tuple[str, ...]
    """The first that a row has is what was billed."""


FORMS = (
    _Form("modal", "intervalstart", "cost", ("description", "objectid")),
    _Form("runpod", "time", "amount", ("endpointid", "podid", "gputypeid", "networkvolumeid")),
)
KNOWN = (
    "Modal's has Description, Interval Start and Cost (modal billing report --csv or --json),"
    " RunPod's time, amount and endpointId (GET rest.runpod.io/v1/billing/endpoints)."
)


@dataclass(frozen=True)
class _Row:
    place: str
    """For a message: the file, and which row."""
    values: Mapping[str, Any]
    """By column, in small letters and digits alone."""
    columns: Mapping[str, str]
    """The same columns as they are written."""


def read_bill(path: Path) -> list[Billed]:
    """Raises InvalidInput, which names file, row and column, for what is no bill of these."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _wrong(f"{path} has more than {MOST_BYTES >> 20} MiB", path)
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}", path) from None
    except UnicodeDecodeError:
        raise _wrong(f"{path} is no text in UTF-8", path) from None
    is_json = text.lstrip()[:1] in ("[", "{")
    return billed(list(_json_rows(text, path) if is_json else _csv_rows(text, path)), str(path))


def billed(rows: Sequence[_Row], source: str) -> list[Billed]:
    """Of rows of one bill; none of an empty one. Raises InvalidInput."""
    if not rows:
        return []
    form = _form({name for row in rows for name in row.values}, source)
    return [_billed(row, form) for row in rows]


def _form(columns: set[str], source: str) -> _Form:
    for form in FORMS:
        if {form.when, form.usd} <= columns:
            return form
    found = ", ".join(sorted(columns)) or "none"
    raise _wrong(f"{source} is no bill that is known: its columns are {found}", source)


def json_rows(document: Any, source: str) -> Iterator[_Row]:
    """Objects of a list, counted from 1. Raises InvalidInput."""
    if not isinstance(document, list):
        raise _wrong(f"{source} is no list of rows", source)
    for number, each in enumerate(document, start=1):
        place = f"{source}: row {number}"
        if not isinstance(each, dict):
            raise _wrong(f"{place} is no object", source)
        yield _row(place, each)


def _json_rows(text: str, path: Path) -> Iterator[_Row]:
    try:
        document = json.loads(text, parse_float=str, parse_int=str)
    except ValueError as error:
        raise _wrong(f"{path} is no JSON: {error}", path) from None
    yield from json_rows(document, str(path))


def _csv_rows(text: str, path: Path) -> Iterator[_Row]:
    """Counted as in a spreadsheet, where the header is row 1."""
    reader = csv.reader(StringIO(text), strict=True)
    header: list[str] = []
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if not any(cells):
                continue
            if not header:
                header = cells
            elif len(cells) != len(header):
                what = f"has {len(cells)} cells, and the header {len(header)}"
                raise _wrong(f"{path}: row {number} {what}", path)
            else:
                yield _row(f"{path}: row {number}", dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise _wrong(f"{path}: row {number + 1} is no CSV: {error}", path) from None
    if header and number == 1:
        _form({_plain(name) for name in header}, str(path))


def _row(place: str, given: Mapping[str, Any]) -> _Row:
    return _Row(
        place,
        {_plain(name): value for name, value in given.items()},
        {_plain(name): name for name in given},
    )


def _billed(row: _Row, form: _Form) -> Billed:
    found = (row.values.get(name) for name in form.names)
    name = next((str(value) for value in found if value), "")
    return Billed(form.platform, _day(row, form.when), name, _usd(row, form.usd))


def _day(row: _Row, column: str) -> str:
    value = row.values.get(column)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise _bad_cell(row, column, "a time such as 2026-11-01T00:00:00") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d}"


def _usd(row: _Row, column: str) -> float:
    try:
        amount = Decimal(str(row.values.get(column)))
    except InvalidOperation:
        raise _bad_cell(row, column, "an amount in dollars, such as 0.75") from None
    if not amount.is_finite():
        raise _bad_cell(row, column, "an amount in dollars, such as 0.75")
    return float(amount)


def _bad_cell(row: _Row, column: str, wanted: str) -> InvalidInput:
    name, value = row.columns.get(column, column), row.values.get(column)
    said = "is missing" if value is None else f"holds {str(value)[:80]!r}"
    return InvalidInput(
        f"{row.place}, column {name} {said}, and not {wanted}", field=name, value=value
    )


def _plain(name: str) -> str:
    """`Interval Start`, `interval_start` and `intervalStart` are one column."""
    return re.sub("[^a-z0-9]", "", str(name).lower())


def _wrong(message: str, source: object) -> InvalidInput:
    return InvalidInput(message, field="--bill", value=str(source), hint=KNOWN)

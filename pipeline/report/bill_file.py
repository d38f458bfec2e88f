"""Bills that a platform exported, as files: CSV or JSON.

- Modal: what `modal billing report --csv` or `--json` prints: Object ID, Description, Environment,
  Interval Start, Cost, and with --show-resources Resource. A time without a zone is UTC.
- RunPod: what `GET https://rest.runpod.io/v1/billing/endpoints` answers (or `/pods`,
  `/networkvolumes`): amount, time, timeBilledMs, diskSpaceBilledGb, and endpointId, podId or
  gpuTypeId, by which it was grouped. The same names as the header of a CSV do as well.

Columns may stand in any order, and others beside them. Semicolons or tabs may separate a CSV.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from config.errors import InvalidInput
from pipeline.report.bill_cells import day_of, name_of, usd_of

MOST_BYTES = 64 * 1024 * 1024
MOST_VALUE = 80
"""Characters of a cell that an error shows."""
SEPARATORS = ",;\t"


@dataclass(frozen=True, slots=True)
class Billed:
    """One row of a bill."""

    platform: str
    day: str
    """YYYY-MM-DD, UTC: that on which what was billed began."""
    name: str
    """Of the app, as Modal describes it, or the id of what RunPod billed; empty for neither."""
    usd: float
    """Below 0 for a credit."""
    environment: str = field(default="", compare=False)
    """Modal's; empty where none is told."""
    all_cells: int = field(default=0, compare=False)
    """The same of rows whose every cell is the same; 0 of one that is not to be compared."""


@dataclass(frozen=True)
class BillFile:
    path: str
    rows: Sequence[Billed]

    @property
    def usd(self) -> float:
        return sum(row.usd for row in self.rows)

    @property
    def platform(self) -> str | None:
        """None of an empty one."""
        return self.rows[0].platform if self.rows else None

    @property
    def days(self) -> tuple[str, str] | None:
        """The first and the last; None of an empty one."""
        days = [row.day for row in self.rows]
        return (min(days), max(days)) if days else None

    def document(self) -> dict[str, Any]:
        return {
            "file": self.path,
            "platform": self.platform,
            "rows": len(self.rows),
            "usd": round(self.usd, 6),
            "days": self.days,
        }


@dataclass(frozen=True)
class Bills:
    """What several files say together."""

    files: Sequence[BillFile]
    rows: Sequence[Billed]
    """A row that stands in them again, the same in every cell, is not among them twice."""
    repeated: int
    """Such rows that were left out."""
    shared: Sequence[tuple[str, str, str]]
    """Platform, day and name of which several files have rows that are not the same: exports by
    the hour and by the day would count twice."""

    def document(self) -> dict[str, Any]:
        return {
            "files": [each.document() for each in self.files],
            "repeated_rows": self.repeated,
            "in_several_files": [list(each) for each in self.shared],
        }


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
CURRENCY = ("currency", "currencycode")
KNOWN = (
    "Modal's has Description, Interval Start and Cost (modal billing report --csv or --json),"
    " RunPod's time, amount and endpointId (GET rest.runpod.io/v1/billing/endpoints)."
)
A_TIME = "a time such as 2026-11-01T00:00:00"
AN_AMOUNT = "an amount in dollars, such as 0.75"
FIX = (
    "Write times as 2026-11-01 or 2026-11-01T00:00:00+00:00, amounts as 1234.56, in US dollars, and"
    " take out lines that are no charge, such as a total."
)


@dataclass(frozen=True)
class _Row:
    place: str
    """For a message: the file, and which line or row."""
    values: Mapping[str, Any]
    """By column, in small letters and digits alone."""
    columns: Mapping[str, str]
    """The same columns as they are written."""


def read_bills(paths: Iterable[Path]) -> Bills:
    """Raises InvalidInput as read_bill does."""
    files = [BillFile(str(path), read_bill(path)) for path in paths]
    seen, rows, repeated = set[int](), list[Billed](), 0
    for row in (row for file in files for row in file.rows):
        if row.all_cells in seen:
            repeated += 1
        else:
            rows.append(row)
            seen |= {row.all_cells} - {0}
    return Bills(files, rows, repeated, _shared(files))


def _shared(files: Sequence[BillFile]) -> list[tuple[str, str, str]]:
    places: Counter[tuple[str, str, str]] = Counter()
    seen = set[int]()
    for file in files:
        new = [row for row in file.rows if row.all_cells not in seen]
        places.update({(row.platform, row.day, row.name) for row in new if row.name})
        seen |= {row.all_cells for row in new} - {0}
    return sorted(place for place, count in places.items() if count > 1)


def read_bill(path: Path) -> list[Billed]:
    """Raises InvalidInput, which names file, line and column, for what is no bill of these."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _wrong(f"{path} has more than {MOST_BYTES >> 20} MiB", path)
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}", path) from None
    except UnicodeDecodeError:
        raise _wrong(f"{path} is no text in UTF-8", path) from None
    if not text.strip():
        raise _wrong(f"{path} is empty: a bill without charges has its header, or is []", path)
    is_json = text.lstrip()[:1] in ("[", "{")
    return billed(_json_rows(text, path) if is_json else _csv_rows(text, path), str(path))


def billed(rows: Iterable[_Row], source: str) -> list[Billed]:
    """Of rows of one bill, whose first has its columns; none of an empty one. Raises
    InvalidInput."""
    found, form = list[Billed](), None
    for row in rows:
        form = form or _form(row.columns, source)
        found.append(_billed(row, form))
    return found


def _form(columns: Mapping[str, str], source: str) -> _Form:
    for form in FORMS:
        if {form.when, form.usd} <= columns.keys():
            return form
    found = ", ".join(name_of(name) for name in columns.values()) or "none"
    raise _wrong(f"{source} is no bill that is known: its columns are {found}", source)


def json_rows(document: Any, source: str) -> Iterator[_Row]:
    """Objects of a list, counted from 1. Raises InvalidInput."""
    if not isinstance(document, list):
        raise _wrong(f"{source} is no list of rows", source)
    for number, each in enumerate(document, start=1):
        place = f"{source}: row {number}"
        if not isinstance(each, dict):
            raise _wrong(f"{place} is no object", source)
        columns = _columns(each, place, source)
        yield _Row(place, {plain: each[name] for plain, name in columns.items()}, columns)


def _json_rows(text: str, path: Path) -> Iterator[_Row]:
    try:
        document = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"{path} is no JSON: {error}", path) from None
    yield from json_rows(document, str(path))


def _csv_rows(text: str, path: Path) -> Iterator[_Row]:
    """Each with the line on which it ends, as an editor counts."""
    head = next(line for line in text.splitlines() if line.strip())
    separator = max(SEPARATORS, key=head.count)
    reader = csv.reader(StringIO(text, newline=""), strict=True, delimiter=separator)
    columns: dict[str, str] = {}
    try:
        for cells in reader:
            place = f"{path}: line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = _columns(cells, place, path)
                _form(columns, str(path))
            elif len(cells) != len(columns):
                what = f"has {len(cells)} cells, and the header {len(columns)}"
                raise _wrong(f"{place} {what}", path)
            else:
                yield _Row(place, dict(zip(columns, cells, strict=True)), columns)
    except csv.Error as error:
        raise _wrong(f"{path}: line {reader.line_num} is no CSV: {error}", path) from None


def _columns(names: Iterable[str], place: str, source: object) -> dict[str, str]:
    """`Interval Start`, `interval_start` and `intervalStart` are one column."""
    columns: dict[str, str] = {}
    for number, name in enumerate(names):
        plain = re.sub("[^a-z0-9]", "", str(name).lower()) or f"#{number}"
        if plain in columns:
            both = f"{name_of(columns[plain])} and {name_of(str(name))}"
            raise _wrong(f"{place} has a column twice: {both}", source)
        columns[plain] = str(name)
    return columns


def _billed(row: _Row, form: _Form) -> Billed:
    found = (row.values.get(name) for name in form.names)
    name = name_of(next((str(value) for value in found if value), ""))
    for column in CURRENCY:
        if str(row.values.get(column) or "USD").strip().upper() != "USD":
            raise _bad_cell(row, column, "USD")
    day, usd = day_of(str(row.values.get(form.when))), usd_of(str(row.values.get(form.usd)))
    if day is None:
        raise _bad_cell(row, form.when, A_TIME)
    if usd is None:
        raise _bad_cell(row, form.usd, AN_AMOUNT)
    cells = frozenset((column, str(value).strip()) for column, value in row.values.items())
    environment = name_of(str(row.values.get("environment") or ""))
    same = hash((form.platform, cells)) if name else 0
    return Billed(form.platform, day, name, usd, environment, same)


def _bad_cell(row: _Row, column: str, wanted: str) -> InvalidInput:
    name, value = row.columns.get(column, column), row.values.get(column)
    said = "is missing" if value is None else f"holds {str(value)[:MOST_VALUE]!r}"
    return InvalidInput(
        f"{row.place}, column {name} {said}, and not {wanted}",
        field=name,
        value=None if value is None else str(value)[:MOST_VALUE],
        hint=FIX,
    )


def _wrong(message: str, source: object) -> InvalidInput:
    return InvalidInput(message, field="--bill", value=str(source), hint=KNOWN)

"""A file of characters, CSV or JSONL, as rows of named values. What they mean is in columns.py.

A CSV is what spreadsheets save: UTF-8 or UTF-16, with or without a byte order mark, commas,
semicolons or tabs between cells, line ends inside quotes. A cell that looks like a formula is text.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import BadManifest, InvalidRow, ManifestTooLarge
from pipeline.batches.batch import MAX_ROWS
from pipeline.batches.problems import Problems, row_problem
from pipeline.contract.document import read_document
from pipeline.contract.keys import MAX_BYTES, clip

MAX_FILE_BYTES = 10 * 1024 * 1024
JSONL = (".jsonl", ".ndjson")
_BOMS = (("utf-8-sig", b"\xef\xbb\xbf"), ("utf-16", b"\xff\xfe"), ("utf-16", b"\xfe\xff"))
_DELIMITERS = ",;\t"
_SEP = "sep="
"""Begins a first line that tells Excel the delimiter, and that Excel does not count."""


@dataclass(frozen=True)
class FileRow:
    row: int
    """As a spreadsheet counts, where the header is row 1; in JSONL the line."""
    values: Mapping[str, Any]
    """By column, as it is written in the file. Cells of a CSV are text; empty ones are left out."""


def read_character_file(path: Path, problems: Problems) -> tuple[FileRow, ...]:
    """The rows that are not empty; what is wrong with the file or a row of it goes to `problems`.

    Raises InvalidRow for a file that cannot be read as a table at all.
    """
    text = _text(path)
    rows = _json_rows(text, problems) if path.suffix.lower() in JSONL else _csv_rows(text, problems)
    found = list[FileRow]()
    for row in rows:
        if len(found) == MAX_ROWS:
            raise row_problem(
                None, None, f"{path} has more than {MAX_ROWS} rows", hint="Send it as two batches."
            )
        found.append(row)
    if not found and not problems.found:
        raise row_problem(None, None, f"{path} has no row of a character")
    return tuple(found)


def _text(path: Path) -> str:
    """Raises InvalidRow."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise row_problem(None, None, f"{path} cannot be read: {error.strerror}") from None
    if len(body) > MAX_FILE_BYTES:
        raise row_problem(
            None,
            None,
            f"{path} has more than {MAX_FILE_BYTES} bytes",
            hint="Name pictures by file or key, and send it as several batches.",
        )
    encoding = next((name for name, mark in _BOMS if body.startswith(mark)), None)
    try:
        text = body.decode(encoding or _unmarked(body))
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise row_problem(
            None,
            None,
            f"{path} is no text in {(encoding or _unmarked(body)).upper()}: see its line {line}",
            hint="Save it as `CSV UTF-8`.",
        ) from None
    if "\0" in text:
        raise row_problem(None, None, f"{path} is no text: it has NUL characters")
    return text


def _unmarked(body: bytes) -> str:
    """Text without a mark: of two bytes a character, every other byte is 0 at its beginning."""
    if len(body) > 1 and body[1] == 0:
        return "utf-16-le"
    return "utf-16-be" if body[:1] == b"\0" else "utf-8"


def _csv_rows(text: str, problems: Problems) -> Iterator[FileRow]:
    first, _, rest = text.partition("\n")
    delimiter = _delimiter(text)
    if first.lower().startswith(_SEP) and len(first.strip()) == len(_SEP) + 1:
        text, delimiter = rest, first.strip()[-1]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number, header = 0, list[str]()
    while True:
        number += 1
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            raise row_problem(
                number,
                None,
                f"it cannot be read: {error}",
                hint='Quotes inside a cell are doubled: "a ""b"" c".',
            ) from None
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = _header(number, cells)
            continue
        if any(cell.strip() for cell in cells[len(header) :]):
            problems.add(
                row_problem(
                    number,
                    None,
                    f"it has {len(cells)} cells, the header {len(header)}",
                    hint="Put a cell that holds the delimiter into quotes.",
                )
            )
            continue
        named = zip(header, cells, strict=False)
        yield FileRow(number, {name: cell for name, cell in named if name and cell.strip()})


def _header(number: int, cells: list[str]) -> list[str]:
    """Raises InvalidRow for a name that stands there twice."""
    header = [cell.strip() for cell in cells]
    twice = [name for name, count in Counter(header).items() if name and count > 1]
    if twice:
        raise row_problem(
            number, twice[0], "two columns have this name", hint="Give each column its own name."
        )
    return header


def _delimiter(text: str) -> str:
    """The one that stands most often in the first line with words, outside of quotes."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    plain = "".join(line.split('"')[::2])
    return max(_DELIMITERS, key=plain.count)


def _json_rows(text: str, problems: Problems) -> Iterator[FileRow]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            document = read_document(line.encode("utf-8", "surrogatepass"))
        except BadManifest as error:
            problems.add(_of_line(number, error))
            continue
        yield FileRow(number, {name: it for name, it in document.items() if it is not None})


def _of_line(number: int, error: BadManifest) -> InvalidRow:
    message = error.message.replace("the manifest", "the line")
    hint = error.hint or "Write one JSON object a line."
    if isinstance(error, ManifestTooLarge):
        hint = f"A line has at most {MAX_BYTES} bytes: name pictures by file or key."
    return row_problem(number, error.field, clip(message), hint=hint)

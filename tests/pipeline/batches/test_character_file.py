from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import InvalidRow
from pipeline.batches.batch import MAX_ROWS
from pipeline.batches.character_file import MAX_FILE_BYTES, FileRow, read_character_file
from pipeline.batches.problems import Problems

Read = Callable[..., tuple[FileRow, ...]]
ANN = FileRow(2, {"character": "Ann", "description": "a woman"})


@pytest.fixture
def problems() -> Problems:
    return Problems()


@pytest.fixture
def read(tmp_path: Path, problems: Problems) -> Read:
    def read(body: str | bytes, name: str = "characters.csv") -> tuple[FileRow, ...]:
        path = tmp_path / name
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
        return read_character_file(path, problems)

    return read


TABLE = "character,description\r\nAnn,a woman\r\n"


@pytest.mark.parametrize(
    "body",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        b"\xfe\xff" + TABLE.encode("utf-16-be"),
        TABLE.encode("utf-16-be"),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        b"sep=;\r\n" + TABLE.replace(",", ";").encode(),
        TABLE.replace("\r\n", "\n").encode().rstrip(),
        TABLE.replace("\r\n", "\r").encode(),
        b'"character","description"\n" Ann"," a woman"\n'.replace(b'" ', b'"'),
    ],
)
def test_what_spreadsheets_save_is_read_alike(read: Read, body: bytes) -> None:
    assert read(body) == (ANN,)


def test_line_ends_and_quotes_stand_inside_quotes_and_rows_count_as_in_a_spreadsheet(
    read: Read,
) -> None:
    rows = read('character,style\nAnn,"two\nlines, ""so"""\n\n,\nBob,=1+1\n')

    assert rows == (
        FileRow(2, {"character": "Ann", "style": 'two\nlines, "so"'}),
        FileRow(5, {"character": "Bob", "style": "=1+1"}),
    )


def test_the_delimiter_is_told_by_the_header_outside_of_its_quotes(read: Read) -> None:
    assert read('character;"a,b,c"\nAnn;1\n') == (FileRow(2, {"character": "Ann", "a,b,c": "1"}),)


def test_jsonl_has_a_row_a_line_and_nulls_are_left_out(read: Read) -> None:
    rows = read(
        '{"character":"Ann","seed":7,"lora_id":null}\n\n{"character":"B\\u2028b"}\n', "c.jsonl"
    )

    assert rows == (
        FileRow(1, {"character": "Ann", "seed": 7}),
        FileRow(3, {"character": "B\u2028b"}),
    )


def test_every_bad_line_of_jsonl_is_named(read: Read, problems: Problems) -> None:
    rows = read('{"a":1}\n[1]\n{"a":\n{"a":1,"a":2}\n' + "[" * 5000, "c.jsonl")

    assert [row.row for row in rows] == [1]
    assert [each.row for each in problems.told] == [2, 3, 4, 5]


def test_a_row_with_more_cells_than_the_header_is_named_and_the_others_are_read(
    read: Read, problems: Problems
) -> None:
    rows = read("character\nAnn, Lady\nBob,\n")

    assert [row.row for row in rows] == [3]
    assert "row 2: it has 2 cells, the header 1" in problems.told[0].message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "no row"),
        ("character\n\n", "no row"),
        (b"character\nJos\xe9\n", "line 2"),
        (b"character\nA\0\n", "NUL"),
        ('character\n"Ann\n', "row 2: it cannot be read"),
        ('character\n"Ann"x\n', "row 2: it cannot be read"),
        ("character,seed,character\n", "row 1, character: two columns"),
        ("x" * (MAX_FILE_BYTES + 1), f"more than {MAX_FILE_BYTES} bytes"),
        ("character\n" + "Ann\n" * (MAX_ROWS + 1), f"more than {MAX_ROWS} rows"),
        ("character\n" + "x" * 200_000 + "\n", "row 2: it cannot be read"),
    ],
)
def test_what_is_no_table_of_characters_is_said_so(
    read: Read, body: str | bytes, said: str
) -> None:
    with pytest.raises(InvalidRow, match=said):
        read(body)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path, problems: Problems) -> None:
    with pytest.raises(InvalidRow, match="cannot be read"):
        read_character_file(tmp_path, problems)

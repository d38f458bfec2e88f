import json
from pathlib import Path

import pytest

from config.errors import InvalidInput
from pipeline.report.bill_file import Billed, read_bill

MODAL_CSV = """\
Object ID,Description,Environment,Interval Start,Cost
ap-1,ryla,main,2026-11-19T00:00:00,0.75
ap-2,another,main,2026-11-20T00:00:00,9.5
"""
RUNPOD = [
    {
        "amount": 1.5,
        "diskSpaceBilledGb": 0,
        "endpointId": "abc123",
        "time": "2026-11-19T00:00:00Z",
        "timeBilledMs": 2_830_000,
    },
    {"amount": 0.82, "diskSpaceBilledGb": 350, "time": "2026-11-19T00:00:00Z"},
]


def written(tmp_path: Path, name: str, text: str) -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


def test_modal_prints_csv(tmp_path: Path) -> None:
    assert read_bill(written(tmp_path, "modal.csv", MODAL_CSV)) == [
        Billed("modal", "2026-11-19", "ryla", 0.75),
        Billed("modal", "2026-11-20", "another", 9.5),
    ]


def test_modal_prints_json_with_resources_by_the_hour(tmp_path: Path) -> None:
    """A time with a zone counts on its day of UTC."""
    row = {
        "object_id": "ap-1",
        "description": "ryla",
        "environment": "main",
        "interval_start": "2026-11-19T20:00:00-05:00",
        "resource": "GPU_L40S",
        "cost": "0.5",
    }
    assert read_bill(written(tmp_path, "modal.json", json.dumps([row]))) == [
        Billed("modal", "2026-11-20", "ryla", 0.5)
    ]


def test_runpod_answers_json(tmp_path: Path) -> None:
    assert read_bill(written(tmp_path, "runpod.json", json.dumps(RUNPOD))) == [
        Billed("runpod", "2026-11-19", "abc123", 1.5),
        Billed("runpod", "2026-11-19", "", 0.82),
    ]


def test_the_names_of_runpods_answer_do_as_a_header(tmp_path: Path) -> None:
    text = "\ufefftime,endpointId,amount\n2026-11-19T00:00:00Z,abc123,1.5\n\n"
    assert read_bill(written(tmp_path, "runpod.csv", text)) == [
        Billed("runpod", "2026-11-19", "abc123", 1.5)
    ]


def test_an_empty_bill_has_no_rows(tmp_path: Path) -> None:
    assert read_bill(written(tmp_path, "modal.json", "[]")) == []
    assert read_bill(written(tmp_path, "modal.csv", MODAL_CSV.splitlines()[0])) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date,price\n2026-11-19,1\n", "its columns are date, price"),
        ("date,price\n", "its columns are date, price"),
        ('{"records": []}', "no list of rows"),
        ("[1]", "row 1 is no object"),
        ("[{", "is no JSON"),
        ('a,b\n"x', "row 2 is no CSV"),
        ("time,amount\n2026-11-19\n", "row 2 has 1 cells, and the header 2"),
    ],
)
def test_a_foreign_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as error:
        read_bill(written(tmp_path, "odd", text))
    assert "odd" in error.value.message
    assert "Interval Start" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("0.75", "nothing", "Cost"),
        ("0.75", "NaN", "Cost"),
        ("2026-11-19T00:00:00", "yesterday", "Interval Start"),
    ],
)
def test_a_bad_cell_is_named_with_its_row_and_column(
    tmp_path: Path, old: str, new: str, column: str
) -> None:
    file = written(tmp_path, "modal.csv", MODAL_CSV.replace(old, new))
    with pytest.raises(InvalidInput, match=f"modal.csv: row 2, column {column} holds '{new}'"):
        read_bill(file)


def test_a_cell_that_is_missing_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, "runpod.json", json.dumps([*RUNPOD, {"time": "2026-11-20"}]))
    with pytest.raises(InvalidInput, match="row 3, column amount is missing"):
        read_bill(file)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bill.pdf"
    file.write_bytes(b"\xff\xfe%PDF")
    with pytest.raises(InvalidInput, match="no text in UTF-8"):
        read_bill(file)

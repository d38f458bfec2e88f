import json
from pathlib import Path

import pytest

from config.errors import InvalidInput
from pipeline.report.bill_file import Billed, Bills, read_bill, read_bills

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
        ('time,amount\n"x', "line 2 is no CSV"),
        ("time,amount\n2026-11-19\n", "line 2 has 1 cells, and the header 2"),
        ("", "is empty"),
        ("\ufeff \r\n", "is empty"),
        ("Time,Cost,Amount,time\n", "line 1 has a column twice: Time and time"),
        ('[{"amount": 1, "Amount": 2}]', "row 1 has a column twice: amount and Amount"),
        ("Description,Cost\nryla,1\n", "its columns are Description, Cost"),
        ("[" * 100_000, "is no JSON"),
        ('{"time": "2026-11-19"}\n{"time": "2026-11-19"}\n', "is no JSON"),
        ("\x1b[2J,b\n1,2\n", r"its columns are \?\[2J, b"),
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
        ("0.75", "", "Cost"),
        ("0.75", "€0.75", "Cost"),
        ("0.75", "0.75 EUR", "Cost"),
        ("0.75", "1e400", "Cost"),
        ("0.75", "1_000", "Cost"),
        ("2026-11-19T00:00:00", "yesterday", "Interval Start"),
        ("2026-11-19T00:00:00", "", "Interval Start"),
        ("2026-11-19T00:00:00", "11/19/2026", "Interval Start"),
        ("2026-11-19T00:00:00", "1763510400", "Interval Start"),
        ("2026-11-19T00:00:00", "17635104", "Interval Start"),
        ("2026-11-19T00:00:00", "0001-01-01T00:00:00+05:00", "Interval Start"),
    ],
)
def test_a_bad_cell_is_named_with_its_row_and_column(
    tmp_path: Path, old: str, new: str, column: str
) -> None:
    file = written(tmp_path, "modal.csv", MODAL_CSV.replace(old, new))
    with pytest.raises(InvalidInput) as error:
        read_bill(file)
    assert f"modal.csv: line 2, column {column} holds '{new}', and not" in error.value.message
    assert (error.value.field, error.value.value) == (column, new)
    assert "1234.56" in (error.value.hint or "")


def test_a_cell_that_is_missing_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, "runpod.json", json.dumps([*RUNPOD, {"time": "2026-11-20"}]))
    with pytest.raises(InvalidInput, match="row 3, column amount is missing"):
        read_bill(file)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bill.pdf"
    file.write_bytes(b"\xff\xfe%PDF")
    with pytest.raises(InvalidInput, match="no text in UTF-8"):
        read_bill(file)


def test_a_line_is_counted_as_an_editor_does(tmp_path: Path) -> None:
    text = MODAL_CSV.replace("ryla,main", '"ryla\nof, two lines",main').replace("9.5", "much")
    with pytest.raises(InvalidInput, match=r"modal\.csv: line 4, column Cost holds 'much'"):
        read_bill(written(tmp_path, "modal.csv", text))


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_spreadsheet_s_forms_are_read(tmp_path: Path, separator: str, end: str) -> None:
    """Byte order mark, line ends, separators, another order of columns, others beside them."""
    lines = [
        ["Cost", "Tags", "Interval Start", "Description", ""],
        ['"1,234.50"', "a b", "2026-11-19", "ryla", ""],
        ["$0.5", '"x"', "2026-11-19 05:00:00 UTC", '"an ""app"""', ""],
        ["", "", "", "", ""],
        ["-2", "", " 2026-11-19T23:00:00-02:00 ", " ryla ", ""],
    ]
    file = tmp_path / "modal.csv"
    file.write_bytes(("\ufeff" + end.join(map(separator.join, lines))).encode())

    assert read_bill(file) == [
        Billed("modal", "2026-11-19", "ryla", 1234.5),
        Billed("modal", "2026-11-19", 'an "app"', 0.5),
        Billed("modal", "2026-11-20", "ryla", -2),
    ]


def test_another_currency_is_refused_and_dollars_are_not(tmp_path: Path) -> None:
    row = {"time": "2026-11-19", "amount": "1", "endpointId": "abc", "currency": "usd"}
    dollars = written(tmp_path, "a.json", json.dumps([row, {**row, "currency": None}]))
    euros = written(tmp_path, "b.json", json.dumps([row, {**row, "currency": "EUR"}]))

    assert len(read_bill(dollars)) == 2
    with pytest.raises(InvalidInput, match=r"b\.json: row 2, column currency holds 'EUR', and not"):
        read_bill(euros)


def test_a_decimal_comma_is_refused_and_not_read_as_thousands(tmp_path: Path) -> None:
    for amount in ("0,75", "1.234,50", "12,34"):
        file = written(tmp_path, "a.csv", f"time;amount\n2026-11-19;{amount}\n")
        with pytest.raises(InvalidInput) as error:
            read_bill(file)
        assert error.value.value == amount


def test_a_name_is_shown_as_one_line_without_control_characters(tmp_path: Path) -> None:
    row = {"time": "2026-11-19", "amount": "1", "endpointId": "\x1b[31mred\n" + "x" * 200}
    [billed] = read_bill(written(tmp_path, "a.json", json.dumps([row])))

    assert billed.name.startswith("?[31mred?xxx")
    assert len(billed.name) == 80


def both(tmp_path: Path, first: str, second: str) -> Bills:
    return read_bills([written(tmp_path, "a.csv", first), written(tmp_path, "b.csv", second)])


def test_a_row_that_stands_in_a_file_again_counts_once(tmp_path: Path) -> None:
    header, row, other = MODAL_CSV.splitlines()
    found = both(tmp_path, MODAL_CSV, "\n".join([header, other, other, row.replace("19T", "21T")]))

    assert [(each.day, each.usd) for each in found.rows] == [
        ("2026-11-19", 0.75),
        ("2026-11-20", 9.5),
        ("2026-11-21", 0.75),
    ]
    assert (found.repeated, found.shared) == (2, [])
    assert [each.document()["usd"] for each in found.files] == [10.25, 19.75]


def test_rows_that_name_nothing_are_no_copies_of_each_other(tmp_path: Path) -> None:
    disk = '{"amount": 1, "time": "2026-11-19"}'
    found = both(tmp_path, f"[{disk}, {disk}]", f"[{disk}]")

    assert (len(found.rows), found.repeated, found.shared) == (3, 0, [])


def test_exports_of_one_day_by_the_hour_and_by_the_day_are_told(tmp_path: Path) -> None:
    found = both(tmp_path, MODAL_CSV, MODAL_CSV.replace("19T00:00:00,0.75", "19T05:00:00,0.1"))

    assert found.shared == [("modal", "2026-11-19", "ryla")]
    assert found.repeated == 1

import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from pipeline.batches.batch_reader import BatchReader, row_lines
from pipeline.cli import sheets_status
from pipeline.contract.keys import inbox_key, lease_key
from pipeline.contract.lease import Phase, Progress
from pipeline.contract.result import Status
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.batches import a_batch, end_sheet, keep_batch, missing_view, view_output
from tests.support.jobs import a_lease

BATCH = a_batch("Ann", "[red]Bob", "Cleo", budget_usd=1.0)
ANN, BOB, CLEO = (row.id for row in BATCH.rows)
TEN = tuple(view_output(number, f"v{number}", 0.9 + number / 200) for number in range(1, 11))


@pytest.fixture
def batch(store: SafeStore) -> None:
    """Ann is partial, Bob runs, Cleo was not sent."""
    keep_batch(store, BATCH)
    end_sheet(
        store,
        ANN,
        outputs=TEN[:8],
        missing=(missing_view(9, "v9"), missing_view(10, "v10")),
        partial=True,
    )
    views = {"01-front": "made", "02-left": "again", "03-back": "waiting"}
    lease = a_lease(
        id=BOB,
        phase=Phase.RUNNING,
        progress=Progress(views=views),
        entry=inbox_key(BOB, priority=5, tenant="acme", model="character-sheet"),
    )
    store.create(lease_key(BOB), lease.body())


@pytest.mark.usefixtures("batch")
def test_characters_and_views_are_a_table(ryla: Ryla) -> None:
    answer = ryla("sheets", "status", "autumn")
    lines = answer.out.splitlines()

    assert answer.code == 0, answer.err
    assert lines[0].split()[:5] == ["row", "character", "state", "01", "02"]
    assert lines[1].split()[:4] == ["2", "Ann", "partial", "0.91"]
    assert lines[1].split()[-4:] == ["14", "$0.0300", "09,10", "face_below_gate"]
    assert lines[2].split() == ["3", "[red]Bob", "running", "✓", "↻", "·"]
    assert "3 sheets: 1 partial, 1 running, 1 unknown" in answer.out
    assert "Cost $0.0300, about $0.0400 more with one try of each view; budget $1" in answer.out
    assert "1 were not sent" in answer.out


@pytest.mark.usefixtures("batch")
def test_json_has_every_view_and_the_totals(ryla: Ryla) -> None:
    document: Any = ryla("sheets", "status", "autumn", "--json").document
    ann, bob, cleo = document["rows"]

    assert document["totals"]["by_state"] == {"partial": 1, "running": 1, "unknown": 1}
    assert (ann["id"], ann["state"], ann["tries"], ann["worst_match"]) == (
        ANN,
        "partial",
        14,
        0.905,
    )
    assert ann["views"][8]["reason"] == "face_below_gate"
    assert [view["state"] for view in bob["views"]] == ["made", "again", "waiting"]
    assert cleo["views"] == []


@pytest.mark.usefixtures("batch")
@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal_has_a_sign_for_each_view(store: SafeStore, width: int) -> None:
    said = StringIO()
    console = Console(file=said, width=width)
    console.print(sheets_status.table(row_lines(store, BATCH), width))
    lines = said.getvalue().splitlines()

    assert "✓✓✓✓✓✓✓✓✗✗" in lines[1]
    assert max(map(len, lines)) <= width
    assert ("cost" in lines[0]) is (width == 80)


@pytest.mark.usefixtures("batch")
def test_a_redo_that_succeeded_stands_for_its_row(ryla: Ryla, store: SafeStore) -> None:
    end_sheet(store, f"{ANN}-r2", outputs=TEN, usd=0.01)
    end_sheet(store, f"{ANN}-r3", status=Status.FAILED, outputs=())
    row = ryla("sheets", "status", "autumn", "--json").document["rows"][0]

    assert (row["id"], row["own"], row["state"]) == (f"{ANN}-r2", ANN, "succeeded")
    assert row["total_usd"] == pytest.approx(0.07)
    assert [redo["state"] for redo in row["redos"]] == ["succeeded", "failed"]


def test_a_name_cannot_steer_the_terminal(ryla: Ryla, store: SafeStore) -> None:
    keep_batch(store, a_batch("A\x1b[31mnn\u202e"))

    assert "A�[31mnn�" in ryla("sheets", "status", "autumn").out


def test_watch_ends_with_the_batch(ryla: Ryla, store: SafeStore) -> None:
    keep_batch(store, BATCH)
    for id in (ANN, BOB, CLEO):
        end_sheet(store, id)
    answer = ryla("sheets", "status", "autumn", "--watch", "--json")

    assert answer.code == 0
    assert answer.document["totals"]["by_state"] == {"succeeded": 3}
    assert "3 succeeded" in ryla("sheets", "status", "autumn", "--watch").out


def test_watch_tells_each_change_in_a_line(
    store: SafeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = BatchReader(store, BATCH)
    end_sheet(store, ANN)
    reader.look()
    left = [None, BOB, CLEO]

    def sleep(_: float) -> None:
        id = left.pop(0)
        if id is not None:
            end_sheet(store, id)

    sheets_status.watch_batch(reader, as_json=True, sleep=sleep)
    totals = [
        json.loads(line)["totals"]["by_state"] for line in capsys.readouterr().out.split("\n")[:-1]
    ]

    assert totals == [{"succeeded": 1, "unknown": 2}, {"succeeded": 2, "unknown": 1}]
    assert reader.done


def test_an_unknown_batch_is_an_error(ryla: Ryla) -> None:
    assert ryla("sheets", "status", "winter", "--json").error["code"] == "unknown_batch"
    assert ryla("sheets", "status", "No!", "--json").error["code"] == "batch_error"

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.batches.batch_reader import row_lines
from pipeline.contract.result import Status
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.batches import a_batch, end_sheet, keep_batch
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import sheet_manifest


@pytest.fixture
def sheets(store: SafeStore, tmp_path: Path) -> Iterator[Sheets]:
    """A sheet that has ended, on the real store: `right` is missing."""
    pipeline = PipelineFixture(raw=store.raw, tmp_path=tmp_path)
    sheets = Sheets(pipeline)
    sheets.server.outcome = lambda name: [] if name.startswith("03") else None
    sheets.finish(sheet_manifest(["front", "left", "right"], "sdxl", tenant="acme"))
    sheets.server.outcome = lambda name: None
    sheets.server.drawing.drawn.clear()
    yield sheets
    pipeline.close()


def test_views_are_made_again_by_a_job_of_the_same_tenant_and_asked_twice_it_is_one(
    ryla: Ryla, sheets: Sheets, tmp_path: Path
) -> None:
    words = ("sheets", "redo", "sheet", "--view", "left", "--missing", "--set", "light=window")
    dry = ryla(*words, "--dry-run", "--json").document
    assert (dry["id"], dry["sent"]) == ("sheet-r2", None)
    assert not sheets.pipeline.keys("inbox/")
    assert dry["manifest"]["tenant"] == "acme"

    answer = ryla(*words, "--json").document
    assert (answer["id"], answer["sent"]) == ("sheet-r2", "submitted")
    assert (answer["made"], answer["reused"]) == (["left", "right"], ["front"])
    sheets.tick()
    result: Any = sheets.pipeline.result("sheet-r2")
    assert (result.status, result.tenant, result.partial) == (Status.SUCCEEDED, "acme", False)
    assert sheets.server.steps == ["02-left.t1", "03-right.t1"]

    again = ryla(*words, "--json").document
    assert (again["id"], again["sent"], again["state"]) == ("sheet-r2", "already_there", "finished")
    assert ryla(*words[:5]).out.startswith("sheet-r3 is sent: 1 made (left), 2 reused")
    assert ryla("results", "sheet-r2", "--out", tmp_path / "out").code == 0
    names = {path.name for path in (tmp_path / "out" / "sheet-r2").glob("*.t*.png")}
    assert names == {"01-front.t1.png", "02-left.t1.png", "03-right.t1.png"}
    assert ryla("audit").code == 0


def test_what_a_review_rejects_is_made_again(ryla: Ryla, sheets: Sheets) -> None:
    nothing = ryla("sheets", "redo", "sheet", "--rejected", "--json")
    assert "no view of sheet is rejected" in nothing.error["message"]
    ryla("sheets", "review", "sheet", "--reject", 1, "--keep", 2)
    answer = ryla("sheets", "redo", "sheet", "--rejected", "--json").document
    assert (answer["made"], answer["reused"]) == (["front"], ["left", "right"])


def test_what_was_rejected_before_another_view_was_made_again_is_made_again_and_exported_never(
    ryla: Ryla, sheets: Sheets
) -> None:
    ryla("sheets", "review", "sheet", "--reject", 1)
    ryla("sheets", "redo", "sheet", "--view", 2)
    sheets.tick()
    [export] = ryla("sheets", "export", "sheet-r2", "--json").document["exports"]
    assert {"number": 1, "view": "front", "reason": "rejected"} in export["left_out"]
    shown = ryla("sheets", "review", "sheet-r2", "--json").document["views"]
    assert [view["verdict"] for view in shown] == ["reject", None, None]
    answer = ryla("sheets", "redo", "sheet-r2", "--rejected", "--json").document
    assert (answer["id"], answer["made"]) == ("sheet-r3", ["front"])


def test_what_cannot_be_made_again_is_refused_before_anything_is_sent(
    ryla: Ryla, sheets: Sheets
) -> None:
    assert ryla("sheets", "redo", "sheet").code == 2
    assert ryla("sheets", "redo", "sheet", "--view", ",").code == 2
    assert ryla("sheets", "redo", "sheet", "--view", 1, "--set", "light").code == 2
    unknown = ryla("sheets", "redo", "sheet", "--view", 9, "--json")
    assert "01-front, 02-left, 03-right" in unknown.error["hint"]
    wrong = ryla("sheets", "redo", "sheet", "--view", 1, "--set", "framing=wide", "--json")
    assert wrong.error["code"] == "invalid_field"
    sheets.pipeline.raw._store.put("jobs/sheet/out/a1/02-left.t1.png", b"x", Always())
    other = ryla("sheets", "redo", "sheet", "--view", 1, "--json")
    assert "other bytes" in other.error["message"]
    assert not sheets.pipeline.keys("inbox/")


def test_of_a_batch_what_its_sheets_lack_is_made_again(ryla: Ryla, sheets: Sheets) -> None:
    store, batch = sheets.pipeline.store, a_batch("Ann", "Bob", "Cleo", "Dan", "Eve")
    keep_batch(store, batch)
    ann, bob, cleo, dan, eve = (row.id for row in batch.rows)
    views = ["front", "left", "right"]
    sheets.server.outcome = lambda name: [] if name.startswith("03") else None
    sheets.finish(sheet_manifest(views, "sdxl", tenant="acme"), ann)
    sheets.finish(sheet_manifest(views, "sdxl", tenant="acme", input={"min_views": 3}), bob)
    sheets.server.outcome = lambda name: None
    sheets.finish(sheet_manifest(views, "sdxl", tenant="acme"), cleo)
    end_sheet(store, dan, status=Status.REJECTED, outputs=())  # before anything of it was made

    dry = ryla("sheets", "redo", "autumn", "--missing", "--dry-run", "--json")
    assert [each["id"] for each in dry.document["redos"]] == [f"{ann}-r2", f"{bob}-r2"]
    assert dry.document["failed"] == [dan]
    assert not sheets.pipeline.keys("inbox/")
    answer = ryla("sheets", "redo", "autumn", "--failed", "--json")
    assert answer.code == 1
    assert [each["made"] for each in answer.document["redos"]] == [["right"]]
    assert "before anything of it was made" in answer.error["message"]

    said = ryla("sheets", "redo", "autumn", "--missing")
    assert f"{bob}-r2 has not ended: its row is left as it is" in said.err
    assert "1 of 5 sheets are made again" in said.out
    sheets.tick()
    lines = row_lines(store, batch)
    assert [line.standing.id for line in lines] == [f"{ann}-r2", f"{bob}-r2", cleo, dan, eve]
    assert [line.standing.made for line in lines] == [3, 3, 3, 0, 0]
    assert ryla("sheets", "redo", "sheet", "--failed").code == 2


def test_of_a_batch_views_by_name_are_made_once_however_often_they_are_asked_for(
    ryla: Ryla, sheets: Sheets
) -> None:
    store, batch = sheets.pipeline.store, a_batch("Ann", "Bob")
    keep_batch(store, batch)
    ann, bob = (row.id for row in batch.rows)
    for id in (ann, bob):
        sheets.finish(sheet_manifest(["front", "left"], "sdxl", tenant="acme"), id)
    for views in ("left", "front,left"):
        asked = ("sheets", "redo", "autumn", "--view", views)
        assert "2 of 2 sheets are made again" in ryla(*asked).out
        sheets.tick()
        again = ryla(*asked)
        assert "0 of 2 sheets are made again" in again.out
        assert again.out.count("has ended already") == 2
        assert "0 of 2 sheets would be made again" in ryla(*asked, "--dry-run").out
    assert [line.standing.id for line in row_lines(store, batch)] == [f"{ann}-r3", f"{bob}-r3"]
    seeded = ryla("sheets", "redo", "autumn", "--view", "left", "--seed", 5, "--json").document
    assert [each["id"] for each in seeded["redos"]] == [f"{ann}-r4", f"{bob}-r4"]

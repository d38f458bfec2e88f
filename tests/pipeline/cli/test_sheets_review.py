from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.contract.keys import review_key
from pipeline.reviews.review import Mark, Verdict, change_review
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.batches import a_batch, end_sheet, keep_batch, missing_view
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import sheet_manifest


@pytest.fixture
def sheets(store: SafeStore, tmp_path: Path) -> Iterator[Sheets]:
    """A pipeline on the real store."""
    pipeline = PipelineFixture(raw=store.raw, tmp_path=tmp_path)
    yield Sheets(pipeline)
    pipeline.close()


def test_views_are_reviewed_by_number_or_name_and_shown_with_their_scores(
    ryla: Ryla, sheets: Sheets
) -> None:
    sheets.finish(sheet_manifest(["front", "left", "right"], "sdxl", tenant="acme"))
    answer = ryla(
        *("sheets", "review", "sheet", "--keep", "front,03-right", "--reject", 2),
        *("--note", "six fingers", "--json"),
    )
    assert answer.code == 0
    assert answer.document["tenant"] == answer.document["review"]["tenant"] == "acme"
    rows = answer.document["views"]
    assert [(row["name"], row["verdict"], row["note"]) for row in rows] == [
        ("01-front", "keep", ""),
        ("02-left", "reject", "six fingers"),
        ("03-right", "keep", ""),
    ]
    assert [row["match"] for row in rows] == [0.95] * 3

    ryla("sheets", "review", "sheet", "--clear", "front")
    lines = ryla("sheets", "review", "sheet").out.splitlines()
    assert lines[1].split() == ["1", "front", "made", "0.95", "0.95"]
    assert lines[2].split()[:8] == ["2", "left", "made", "0.95", "0.95", "reject", "six", "fingers"]


def test_a_missing_view_is_shown_with_its_reason_and_cannot_be_reviewed(
    ryla: Ryla, sheets: Sheets
) -> None:
    sheets.server.outcome = lambda name: [] if name.startswith("02-left") else None
    sheets.finish(sheet_manifest(["front", "left"], "sdxl"))
    refused = ryla("sheets", "review", "sheet", "--keep", "left", "--json")
    assert (refused.code, refused.error["code"]) == (1, "invalid_input")
    assert "missing" in refused.error["message"]
    assert "missing: no_face" in ryla("sheets", "review", "sheet").out


def test_what_cannot_be_reviewed_is_named_with_what_can(
    ryla: Ryla, sheets: Sheets, write: Callable[..., Path]
) -> None:
    sheets.finish(sheet_manifest(["front", "left"], "sdxl"))
    unknown = ryla("sheets", "review", "sheet", "--reject", "7", "--json")
    assert unknown.error["field"] == "--reject"
    assert "01-front, 02-left" in unknown.error["hint"]
    twice = ryla("sheets", "review", "sheet", "--keep", "1", "--reject", "front", "--json")
    assert "named twice" in twice.error["message"]
    assert ryla("sheets", "review", "sheet", "--note", "x").code == 2
    assert ryla("sheets", "review", "nobody", "--json").error["code"] == "unknown_job"
    ryla("submit", write("waits.json"))
    ryla("cancel", "waits")
    assert "flux-dev" in ryla("sheets", "review", "waits", "--json").error["message"]
    assert not sheets.pipeline.keys("reviews/")


def test_a_sheet_that_goes_on_is_not_reviewed(ryla: Ryla, sheets: Sheets) -> None:
    sheets.pipeline.submit("sheet", sheet_manifest())
    holding = sheets.pipeline.another("dispatcher", sheets.pipeline.held)
    sheets.pipeline.tick(holding)
    answer = ryla("sheets", "review", "sheet", "--keep", "1", "--json")
    assert "has not ended" in answer.error["message"]


def test_a_batch_is_shown_by_how_far_the_review_of_each_sheet_is(
    ryla: Ryla, store: SafeStore
) -> None:
    batch = a_batch("Ann", "Bob")
    keep_batch(store, batch)
    ann = batch.rows[0].id
    end_sheet(store, ann)
    end_sheet(store, f"{ann}-r2", missing=(missing_view(3, "left"),))
    change_review(store, f"{ann}-r2", "acme", {"back": Mark(Verdict.REJECT)})
    (sheet,) = ryla("sheets", "review", "autumn", "--json").document["sheets"]

    assert (sheet["id"], sheet["kept"], sheet["rejected"]) == (f"{ann}-r2", [], ["back"])
    assert (sheet["unreviewed"], sheet["missing"]) == (["front"], ["left"])
    assert "back" in ryla("sheets", "review", "autumn").out
    refused = ryla("sheets", "review", "autumn", "--keep", "front")
    assert refused.code == 2
    assert "name one of its sheets" in refused.err


def test_a_review_that_cannot_be_read_is_named_and_holds_up_no_other(
    ryla: Ryla, store: SafeStore
) -> None:
    batch = a_batch("Ann", "Bob")
    keep_batch(store, batch)
    ann, bob = (row.id for row in batch.rows)
    for id in (ann, bob):
        end_sheet(store, id)
    store.write(review_key(ann), b"[]", "application/json")
    answer = ryla("sheets", "review", "autumn", "--json")
    assert (answer.code, answer.document["failed"]) == (1, [ann])
    assert [sheet["id"] for sheet in answer.document["sheets"]] == [bob]
    assert "no review of this job" in answer.error["message"]

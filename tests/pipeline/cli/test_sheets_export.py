import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.contract.result import Status
from pipeline.store.conditional import SafeStore, listed
from tests.pipeline.cli.conftest import Ryla
from tests.support.batches import a_batch, end_sheet, keep_batch
from tests.support.datasets import MadeSheet
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import HEADS, face, sheet_manifest

TWO = {"views": [{"id": "front", "framing": "close-up"}, {"id": "back", "back": True}]}


@pytest.fixture
def sheets(store: SafeStore, tmp_path: Path) -> Iterator[Sheets]:
    """A pipeline on the real store."""
    pipeline = PipelineFixture(raw=store.raw, tmp_path=tmp_path)
    yield Sheets(pipeline)
    pipeline.close()


def test_a_set_that_can_be_trained_on_goes_to_a_file_and_to_the_bucket(
    ryla: Ryla, store: SafeStore, tmp_path: Path
) -> None:
    MadeSheet().put(store)
    filed = ryla("sheets", "export", "ann", "--out", "ann.zip", "--class", "woman", "--json")
    assert filed.code == 0
    [line] = filed.document["exports"]
    assert (line["pictures"], line["trainable"], line["left_out"]) == (10, True, [])
    assert line["commercial_use"] is False
    with zipfile.ZipFile(tmp_path / "ann.zip") as archive:
        assert archive.read("img/20_ohwx woman/01-front.txt").startswith(b"ohwx woman, close-up")

    first = ryla("sheets", "export", "ann", "--class", "woman", "--json").document["exports"]
    again = ryla("sheets", "export", "ann", "--class", "woman", "--json").document["exports"]
    assert [line["written"] for line in (*first, *again)] == [True, False]
    assert first[0]["place"] == again[0]["place"] == f"exports/ann/{line['sha256']}.zip"
    assert [entry.key for entry in listed(store, "exports/")] == [first[0]["place"]]


def test_a_set_that_cannot_be_trained_on_is_made_with_a_warning_and_a_code_of_its_own(
    ryla: Ryla, store: SafeStore, tmp_path: Path
) -> None:
    MadeSheet(input=TWO).put(store)
    answer = ryla("sheets", "export", "ann", "--out", "sets")
    assert answer.code == 3
    assert (tmp_path / "sets" / "ann.zip").exists()
    assert "warning: ann cannot be trained on as it is: 2 pictures, and 8" in answer.err
    assert ryla("sheets", "export", "ann", "--json").document["exports"][0]["trainable"] is False


def test_what_a_worker_made_is_exported_as_a_person_judged_it(
    ryla: Ryla, sheets: Sheets, tmp_path: Path
) -> None:
    sheets.server.outcome = lambda name: (
        [face(HEADS["front"], 0.5)] if name.startswith("01-front") else None
    )
    made = sheets.finish(
        sheet_manifest(["front", "left", "right"], "sdxl", input={"min_face_match": 0.8})
    )
    assert [each.reason for each in made.missing] == ["face_below_gate"]
    assert ryla("sheets", "review", "sheet", "--keep", "front", "--reject", "right").code == 0
    assert ryla("sheets", "export", "sheet", "--out", "a.zip").code == 3
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        told = json.loads(archive.read("sheet.json"))
    assert [(one["view"], one["overruled"]) for one in told["pictures"]] == [
        ("front", "face_below_gate"),
        ("left", None),
    ]
    assert told["left_out"] == [{"number": 3, "view": "right", "reason": "rejected"}]


def test_a_view_that_was_made_again_is_exported_beside_those_that_were_reused(
    ryla: Ryla, sheets: Sheets, tmp_path: Path
) -> None:
    sheets.finish(sheet_manifest(["front", "left", "right"], "sdxl"))
    ryla("sheets", "review", "sheet", "--reject", "left")
    assert ryla("sheets", "redo", "sheet", "--rejected").code == 0
    sheets.tick()
    answer = ryla("sheets", "export", "sheet", "sheet-r2", "--out", "sets", "--json")
    before, after = answer.document["exports"]
    assert (before["pictures"], after["pictures"]) == (2, 3)
    with zipfile.ZipFile(tmp_path / "sets" / "sheet.zip") as archive:
        old = json.loads(archive.read("sheet.json"))["pictures"]
    with zipfile.ZipFile(tmp_path / "sets" / "sheet-r2.zip") as archive:
        new = json.loads(archive.read("sheet.json"))["pictures"]
    assert [one["view"] for one in new] == ["front", "left", "right"]
    assert [(one["sha256"], one["seed"]) for one in (new[0], new[2])] == [
        (one["sha256"], one["seed"]) for one in old
    ]


def test_a_whole_batch_is_exported_and_a_sheet_that_fails_spoils_no_other(
    ryla: Ryla, store: SafeStore, tmp_path: Path
) -> None:
    batch = a_batch("Ann", "Bob", "Cleo")
    keep_batch(store, batch)
    ann, bob, cleo = (row.id for row in batch.rows)
    MadeSheet(id=ann).put(store)
    MadeSheet(id=f"{ann}-r2").put(store)
    end_sheet(store, bob, status=Status.REJECTED, outputs=())
    answer = ryla("sheets", "export", "autumn", "--out", "sets", "--json")

    assert answer.code == 1
    first, second = answer.document["exports"]
    assert (first["pictures"], first["place"]) == (10, f"sets/{ann}-r2.zip")
    assert (second["id"], second["error"]["code"]) == (bob, "invalid_input")
    assert answer.document["unfinished"] == [cleo]
    assert [path.name for path in (tmp_path / "sets").iterdir()] == [f"{ann}-r2.zip"]
    said = ryla("sheets", "export", "autumn", "--out", "sets").err
    assert f"{cleo} has not ended" in said
    assert f"invalid_input: {bob}" in said
    assert ryla("sheets", "export", "autumn", "--out", "all.zip").code == 2


@pytest.mark.parametrize(
    "arguments",
    [(), ("ann", "bea", "--out", "one.zip"), ("ann", "--for", "sd")],
)
def test_what_cannot_be_meant_is_wrong_usage(ryla: Ryla, arguments: tuple[str, ...]) -> None:
    assert ryla("sheets", "export", *arguments).code == 2


def test_errors_name_what_is_at_fault(
    ryla: Ryla, store: SafeStore, write: Callable[..., Path], tmp_path: Path
) -> None:
    assert ryla("sheets", "export", "ann", "--trigger", "a,b", "--json").error["field"] == "trigger"
    sheet = MadeSheet(input=TWO)
    sheet.put(store)
    store.delete(sheet.key(sheet.plan.views[0]))
    gone = ryla("sheets", "export", "ann", "--out", "a.zip", "--json")
    assert (gone.code, gone.error["code"]) == (1, "outputs_missing")
    assert gone.error["value"] == "01-front"
    assert not [*tmp_path.glob("*.zip*")]
    MadeSheet(id="bea").put(store)
    folder = write("a-file")
    refused = ryla("sheets", "export", "bea", "--out", folder / "b.zip", "--json")
    assert (refused.code, refused.error["code"]) == (1, "dataset_error")

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.contract.result import Status
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.sheets import read_sheets

pytestmark = pytest.mark.xdist_group("demo")


def test_only_sheets_that_succeeded_are_read(demo_run: DemoRun) -> None:
    failed = demo_run.results["rosa-sheet-flux"].model_copy(update={"status": Status.FAILED})
    run = replace(demo_run, results={**demo_run.results, "rosa-sheet-flux": failed})

    assert [sheet.id for sheet in read_sheets(run)] == [
        "rosa-sheet-z-image",
        "demo-002-ida",
        "demo-003-mara",
        "demo-004-muse",
    ]


def test_a_sheet_has_its_document_and_the_records_of_its_steps(demo_run: DemoRun) -> None:
    (sheet, *_) = read_sheets(demo_run)

    assert sheet.document is not None
    assert [view.id for view in sheet.document.views] == ["front", "left", "back"]
    assert sheet.records.made == (1, 2, 3)
    assert sheet.records.of_view(1).attempts == 2
    assert sheet.has_references


def test_a_file_that_is_gone_is_none(demo_run: DemoRun, tmp_path: Path) -> None:
    shutil.copytree(demo_run.out / "jobs/rosa-sheet-flux", tmp_path / "jobs/rosa-sheet-flux")
    (sheet, *_) = read_sheets(replace(demo_run, out=tmp_path))
    (tmp_path / "jobs/rosa-sheet-flux/out/a1/sheet.json").unlink()

    assert sheet.file("sheet.json") is None
    assert sheet.document is None
    assert sheet.file("nothing.txt") is None

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.contract.result import Result
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.sheet_checks import (
    complete_sheets,
    retried_views,
    scores_text,
    unscored_views,
)

pytestmark = pytest.mark.xdist_group("demo")
SHEET = "rosa-sheet-flux"


@pytest.fixture
def run(demo_run: DemoRun, tmp_path: Path) -> DemoRun:
    """The demo's sheets that were sent alone, in a folder that may be spoilt."""
    for id in (SHEET, "rosa-sheet-z-image"):
        shutil.copytree(demo_run.out / "jobs" / id, tmp_path / "out" / "jobs" / id)
    alone = [each for each in demo_run.examples if not each.id.startswith("demo-")]
    return replace(demo_run, out=tmp_path / "out", examples=alone)


def spoilt(run: DemoRun, change: Callable[[dict[str, Any]], object]) -> DemoRun:
    """With another result of the sheet."""
    said = json.loads(run.results[SHEET].model_dump_json())
    change(said)
    return replace(
        run, results={**run.results, SHEET: Result.model_validate_json(json.dumps(said))}
    )


def test_sheets_that_became_what_they_should_are_without_fault(run: DemoRun) -> None:
    assert [*complete_sheets(run), *retried_views(run), *unscored_views(run)] == []
    assert scores_text(run) == "dlib-resnet-v1, 4"


def test_a_sheet_without_contact_sheet_is_found(run: DemoRun) -> None:
    (run.out / "jobs" / SHEET / "out/a1/contact-sheet.png").unlink()

    assert [*complete_sheets(run)] == [f"{SHEET} has no contact-sheet.png among its files"]


def test_a_document_that_cannot_be_read_is_found(run: DemoRun) -> None:
    file = run.out / "jobs" / SHEET / "out/a1/sheet.json"
    file.write_text("?")

    assert [*complete_sheets(run)] == [
        f"jobs/{SHEET}/out/a1/sheet.json has other bytes than its result says",
        f"{SHEET} has no sheet.json that can be read",
    ]


def test_a_picture_that_the_document_does_not_name_is_found(run: DemoRun) -> None:
    changed = spoilt(run, lambda said: said["outputs"].pop())

    assert [*complete_sheets(changed)] == [
        f"{SHEET} names other pictures in sheet.json than in its result"
    ]


def test_a_view_that_is_missing_unasked_is_found(run: DemoRun) -> None:
    left = {"number": 2, "id": "left", "reason": "no_face"}
    changed = spoilt(run, lambda said: said["missing"].append(left))

    assert [*complete_sheets(changed)] == [f"{SHEET} lacks the views ['left'] instead of []"]


@pytest.mark.parametrize("change", [{"tries": 1}, {"ok": None}, {"id": "other"}])
def test_a_wrong_view_that_no_second_try_put_right_is_found(
    run: DemoRun, change: dict[str, Any]
) -> None:
    (fault,) = retried_views(spoilt(run, lambda said: said["outputs"][0]["view"].update(change)))

    assert fault.startswith(f"{SHEET} did not put its view 'front' right: ")


def test_a_face_without_a_match_is_found(run: DemoRun) -> None:
    changed = spoilt(run, lambda said: said["outputs"][1].update(face=None, face_reason="no_face"))

    assert [*unscored_views(changed)] == [
        f"{changed.results[SHEET].outputs[1].key} has no match: no_face"
    ]

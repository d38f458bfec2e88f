import json
from pathlib import Path

import pytest

from config.errors import InvalidInput
from config.settings import Settings
from handlers.kinds.registry import KINDS
from pipeline.contract.keys import JOBS
from pipeline.contract.result import Status
from pipeline.local.demo.checks import check_run
from pipeline.local.demo.demo import MARKER, DemoRun, prepare, with_views_expected
from pipeline.local.demo.manifests import EXAMPLES, load_examples
from tests.support.commands import ryla

pytestmark = pytest.mark.xdist_group("demo")

SMALL = {"version": 1, "model": "flux-schnell"}
SMALL_INPUT = {"prompt": "a pebble", "width": 256, "height": 256, "steps": 1}


def test_the_examples_end_as_they_should(demo_run: DemoRun) -> None:
    assert [check.faults for check in check_run(demo_run)] == [()] * 11


def test_the_folder_holds_the_whole_jobs_tree(demo_run: DemoRun) -> None:
    there = {str(f.relative_to(demo_run.out)) for f in (demo_run.out / JOBS).rglob("*.*")}

    assert there == set(demo_run.files)
    for example in demo_run.examples:
        assert (demo_run.out / JOBS / example.id / "manifest.json").read_bytes() == example.body


def test_jobs_are_begun_in_the_order_of_their_priorities(demo_run: DemoRun) -> None:
    priority = {each.id: each.document.get("priority", 5) for each in demo_run.examples}
    ran = [
        id
        for id, result in demo_run.results.items()
        # One worker serves a route, so only a route's jobs wait for one another.
        if result.status is Status.SUCCEEDED and KINDS[result.model or ""].route == "Flux"
    ]

    assert len(ran) > 5
    assert [priority[id] for id in ran] == sorted((priority[id] for id in ran), reverse=True)


def test_the_second_submission_was_taken_and_changed_nothing(demo_run: DemoRun) -> None:
    again = demo_run.again

    assert again is not None
    assert again.accepted
    assert again.result_after == again.result_before != b""


def test_a_view_of_a_sheet_that_was_turned_wrong_is_put_right_by_its_next_try(
    demo_run: DemoRun,
) -> None:
    sheet = demo_run.results["rosa-sheet-flux"]
    tries = {view.id: view.tries for output in sheet.outputs if (view := output.view)}

    assert not sheet.missing
    assert (tries["front"], tries["back"]) == (2, 1)


def test_a_sheet_of_which_a_view_is_never_right_is_partial(demo_run: DemoRun) -> None:
    sheet = demo_run.results["rosa-sheet-z-image"]

    assert sheet.partial
    assert [(view.id, view.reason, view.tries) for view in sheet.missing] == [
        ("left", "wrong_yaw", 2)
    ]


def test_no_view_is_expected_to_go_wrong_on_a_real_comfyui() -> None:
    sheets = [each for each in load_examples(EXAMPLES) if each.sheet is not None]
    real = with_views_expected(sheets, Settings(comfyui_url="http://127.0.0.1:8188"))

    assert with_views_expected(sheets, Settings()) == sheets
    assert any(each.retried for each in sheets)
    assert any(each.missing for each in sheets)
    assert not any(each.retried or each.missing for each in real)


@pytest.mark.thorough
def test_the_command_answers_with_what_it_did(tmp_path: Path) -> None:
    write(tmp_path / "m" / "pebble.json", {**SMALL, "input": SMALL_INPUT})

    code, answer, errors = ryla("demo", "--manifests", "m", "--out", "o", "--json", cwd=tmp_path)

    assert (code, errors) == (0, "")
    said = json.loads(answer)
    assert said["ok"] is True
    assert [(job["id"], job["status"]) for job in said["jobs"]] == [("pebble", "succeeded")]
    assert (tmp_path / "o" / said["jobs"][0]["outputs"][0]).exists()
    assert len((tmp_path / "o" / "events.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "o" / "state").exists()


@pytest.mark.thorough
def test_a_job_that_ends_otherwise_than_expected_fails_the_demo(tmp_path: Path) -> None:
    write(tmp_path / "m" / "fine.json", {**SMALL, "input": SMALL_INPUT})
    write(tmp_path / "m" / "bad.json", {**SMALL, "input": {"promt": "a pebble"}})

    code, answer, _ = ryla("demo", "--manifests", "m", "--out", "o", cwd=tmp_path)

    assert code == 1
    assert "bad rejected instead of succeeded: unknown_field" in answer
    assert "bad rejected instead of succeeded" in (tmp_path / "o" / "report.html").read_text()
    assert (tmp_path / "o" / "state").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "mine.txt").touch()

    with pytest.raises(InvalidInput, match="not empty"):
        prepare(tmp_path)

    assert (tmp_path / "jobs" / "mine.txt").exists()


def test_a_folder_of_an_earlier_demo_is_cleared(tmp_path: Path) -> None:
    prepare(tmp_path / "out")
    (tmp_path / "out" / "jobs").mkdir()
    (tmp_path / "out" / "events.jsonl").touch()

    prepare(tmp_path / "out")

    assert [file.name for file in (tmp_path / "out").iterdir()] == [MARKER]


def write(file: Path, manifest: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(manifest))

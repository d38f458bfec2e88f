"""Sheets that take views of an ended one over."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import pytest

from events.sink import MemorySink
from handlers.character_sheet.records import Choice, Try, parse_record
from handlers.character_sheet.sheet_document import SheetDocument
from pipeline.contract.keys import cell_key, plan_key, result_key
from pipeline.contract.result import Status
from pipeline.jobs.cancel import Canceller
from pipeline.store.base import Always, Condition, Written
from tests.pipeline.conftest import MakePipeline
from tests.support.audits import audited, found
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import Outcome, flat_picture, sheet_manifest

VIEWS = ("front", "left", "right")


def redo(take: tuple[str, ...] = ("front", "right"), job: str = "sheet", **changes: Any) -> bytes:
    given = {"reuse": {"job": job, "views": take}, **changes.pop("input", {})}
    return sheet_manifest(VIEWS, "sdxl", input=given, **changes)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sheets]:
    """A sheet of three views that has ended."""
    pipeline = PipelineFixture(tmp_path=tmp_path_factory.mktemp("ended"))
    sheets = Sheets(pipeline)
    sheets.finish(sheet_manifest(VIEWS, "sdxl"))
    yield sheets
    pipeline.close()


@pytest.fixture
def sheets(make_pipeline: MakePipeline, ended: Sheets) -> Callable[..., Sheets]:
    """A pipeline with that sheet, or with one of another outcome."""

    def make(outcome: Outcome | None = None) -> Sheets:
        made = Sheets(make_pipeline(), outcome or (lambda name: None))
        if outcome is not None:
            made.finish(sheet_manifest(VIEWS, "sdxl"))
            made.server.drawing.drawn.clear()
            return made
        for key in ended.pipeline.keys("jobs/"):
            stored = ended.pipeline.store.get(key)
            assert stored is not None
            made.pipeline.raw._store.put(key, stored.body, Always())
        made.server.drawing.names.update(ended.server.drawing.names)
        return made

    return make


MakeSheets = Callable[..., Sheets]


def stored_json(sheets: Sheets, key: str) -> Any:
    stored = sheets.pipeline.store.get(key)
    assert stored is not None
    return json.loads(stored.body)


def put_json(sheets: Sheets, key: str, document: Any) -> None:
    sheets.pipeline.raw._store.put(key, json.dumps(document).encode(), Always())


def test_only_what_is_not_reused_is_made_and_paid_for(sheets: MakeSheets) -> None:
    made = sheets()
    first: Any = made.pipeline.result("sheet")
    result = made.finish(redo(), "sheet-r2")
    assert made.server.steps == ["02-left.t1"]
    assert (result.status, result.partial, result.missing) == (Status.SUCCEEDED, False, ())
    assert [output.key for output in result.outputs] == [
        "jobs/sheet/out/a1/01-front.t1.png",
        "jobs/sheet-r2/out/a1/02-left.t1.png",
        "jobs/sheet/out/a1/03-right.t1.png",
    ]
    assert [output.sha256 for output in result.outputs[::2]] == [
        output.sha256 for output in first.outputs[::2]
    ]
    assert [output.view.reused_from for output in result.outputs] == ["sheet", None, "sheet"]
    assert [output.view.usd for output in result.outputs[::2]] == [0.0, 0.0]
    assert result.outputs[1].view.usd == pytest.approx(result.cost.total_usd)
    assert result.own_outputs == (result.outputs[1],)
    assert [output.face.match for output in result.outputs] == [0.95] * 3


def test_each_reused_view_has_a_record_that_names_key_sha256_and_the_job(
    sheets: MakeSheets,
) -> None:
    made = sheets()
    made.finish(redo(), "sheet-r2")
    assert made.cells_of("sheet-r2") == [
        "01-front",
        "01-front.t1",
        "02-left",
        "02-left.t1",
        "03-right",
        "03-right.t1",
    ]
    stored = made.pipeline.store.get(cell_key("sheet-r2", "01-front.t1"))
    assert stored is not None
    record = parse_record("01-front.t1", stored.body)
    assert isinstance(record, Try)
    picture = made.pipeline.store.get(record.picture.key)
    assert picture is not None
    assert record.picture.sha256 == hashlib.sha256(picture.body).hexdigest()
    assert (record.reused_from, record.seconds, record.usd) == ("sheet", 0.0, 0.0)


def test_prompt_caption_and_seed_of_a_reused_view_are_those_it_was_made_with(
    sheets: MakeSheets,
) -> None:
    made = sheets()
    made.finish(redo(input={"style": "oil painting", "seed": 5}), "sheet-r2")
    before, after = (stored_json(made, plan_key(id))["views"] for id in ("sheet", "sheet-r2"))
    assert (after[0], after[2]) == (before[0], before[2])
    assert "oil painting" in after[1]["prompt"]
    assert after[1]["seeds"][0] == 5


def test_what_is_said_of_the_sheet_counts_reused_views_over_and_names_their_job(
    sheets: MakeSheets,
) -> None:
    made = sheets()
    result = made.finish(redo(), "sheet-r2")
    file = next(file for file in result.files if file.name == "sheet.json")
    stored = made.pipeline.store.get(file.key)
    assert stored is not None
    document = SheetDocument.parse(stored.body)
    assert document is not None
    assert [view.reused_from for view in document.views] == ["sheet", None, "sheet"]
    assert document.set.made == 3
    assert result.provenance.models == {}, "the stand-in has none"


def test_events_of_reused_views_over_are_not_told_again(sheets: MakeSheets) -> None:
    made = sheets()
    result = made.finish(redo(), "sheet-r2")
    measured = [event for event in result.events if event.event.endswith("_measured")]
    assert [event.properties["view"] for event in measured] == ["left"]
    [completed] = [event for event in result.events if event.event.endswith("_completed")]
    assert completed.properties["outputs"] == 1


def test_a_redo_of_a_redo_names_the_first_job(sheets: MakeSheets) -> None:
    made = sheets()
    made.finish(redo(), "sheet-r2")
    result = made.finish(redo(("front", "left"), "sheet-r2"), "sheet-r3")
    assert [output.view.reused_from for output in result.outputs] == ["sheet", "sheet-r2", None]
    assert result.outputs[0].key == "jobs/sheet/out/a1/01-front.t1.png"
    assert found(audited(made.pipeline, content=True)) == []


def test_a_view_that_is_missing_there_stays_missing_and_costs_nothing(sheets: MakeSheets) -> None:
    made = sheets(lambda name: [] if name.startswith("03") else None)
    made.server.outcome = lambda name: None
    result = made.finish(redo(), "sheet-r2")
    assert made.server.steps == ["02-left.t1"]
    assert (result.status, result.partial) == (Status.SUCCEEDED, True)
    [missing] = result.missing
    assert (missing.id, missing.reason, missing.usd) == ("right", "no_face", 0.0)
    stored = made.pipeline.store.get(cell_key("sheet-r2", "03-right"))
    assert stored is not None
    record = parse_record("03-right", stored.body)
    assert isinstance(record, Choice)
    assert (record.reused_from, record.k) == ("sheet", 0)


def test_the_numbers_are_those_of_the_new_sheet(sheets: MakeSheets) -> None:
    made = sheets()
    manifest = json.loads(redo(("right",)))
    manifest["input"]["view_ids"] = ["right", "left"]
    manifest["input"]["min_views"] = 1
    result = made.finish(json.dumps(manifest).encode(), "sheet-r2")
    assert [(output.view.number, output.view.id) for output in result.outputs] == [
        (1, "right"),
        (2, "left"),
    ]
    assert made.cells_of("sheet-r2") == ["01-right", "01-right.t1", "02-left", "02-left.t1"]


# ── refused ───────────────────────────────────────────────────────────────────────────────────────


def refused(made: Sheets, manifest: bytes) -> Any:
    result = made.finish(manifest, "sheet-r2")
    assert made.server.steps == []
    assert not made.cells_of("sheet-r2")
    assert result.outputs == ()
    return result


def test_another_tenants_sheet_is_refused_like_one_that_is_not_there(sheets: MakeSheets) -> None:
    made = sheets()
    theirs = refused(made, redo(tenant="mallory"))
    made.pipeline.raw._store.delete(result_key("sheet-r2"))
    made.pipeline.raw._store.delete("jobs/sheet-r2/manifest.json")
    nobodys = refused(made, redo(job="nobody", tenant="mallory"))
    assert theirs.status is nobodys.status is Status.REJECTED
    assert theirs.error.field == "input.reuse.job"
    assert theirs.error.message.replace("sheet", "nobody") == nobodys.error.message.replace(
        "sheet", "nobody"
    )


def test_a_sheet_that_goes_on_or_reuses_itself_is_refused(sheets: MakeSheets) -> None:
    made = sheets()
    assert refused(made, redo(job="sheet-r2")).error.field == "input.reuse.job"


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"reference_images": ["inputs/bob.png"]}, "reference_images"),
        ({"base": "flux-dev"}, "base"),
    ],
)
def test_a_sheet_of_another_person_or_base_is_refused(
    sheets: MakeSheets, changes: Mapping[str, Any], differs: str
) -> None:
    made = sheets()
    made.pipeline.store.write("inputs/bob.png", flat_picture("bob"), "image/png")
    result = refused(made, redo(input=changes))
    assert result.status is Status.REJECTED, "before a GPU starts"
    assert f"another {differs}" in result.error.message


def test_a_picture_that_is_gone_is_refused_before_a_gpu_starts(sheets: MakeSheets) -> None:
    made = sheets()
    made.pipeline.raw._store.delete("jobs/sheet/out/a1/01-front.t1.png")
    result = refused(made, redo())
    assert (result.status, result.error.code) == (Status.REJECTED, "missing_input")
    assert result.error.value == "jobs/sheet/out/a1/01-front.t1.png"


def test_a_picture_of_another_size_is_refused_before_a_gpu_starts(sheets: MakeSheets) -> None:
    made = sheets()
    made.pipeline.raw._store.put("jobs/sheet/out/a1/01-front.t1.png", b"other", Always())
    result = refused(made, redo())
    assert (result.status, result.error.code) == (Status.REJECTED, "invalid_input")
    assert "other bytes" in result.error.message


def test_a_picture_of_other_bytes_fails_the_job_before_anything_is_made(sheets: MakeSheets) -> None:
    made = sheets()
    key = "jobs/sheet/out/a1/01-front.t1.png"
    stored = made.pipeline.store.get(key)
    assert stored is not None
    made.pipeline.raw._store.put(key, stored.body[:-1] + b"x", Always())
    result = refused(made, redo())
    assert (result.status, result.error.code) == (Status.FAILED, "invalid_input")
    assert "other bytes" in result.error.message


@pytest.mark.parametrize(
    "picture",
    [
        {"key": "inputs/ann.png"},
        {"key": "jobs/victim/out/a1/01-front.t1.png"},
        {"sha256": "0" * 64},
    ],
)
def test_a_record_that_says_other_than_the_result_is_refused(
    sheets: MakeSheets, picture: Mapping[str, str]
) -> None:
    made = sheets()
    key = cell_key("sheet", "01-front.t1")
    record = stored_json(made, key)
    record["picture"] |= picture
    put_json(made, key, record)
    assert "not what its result says" in refused(made, redo()).error.message


def test_a_chain_into_another_tenants_job_is_refused(sheets: MakeSheets) -> None:
    """Records and result of one's own sheet, forged to reuse somebody else's picture."""
    made = sheets()
    made.finish(sheet_manifest(VIEWS, "sdxl", tenant="victim"), "victim")
    made.server.drawing.drawn.clear()
    theirs = stored_json(made, cell_key("victim", "01-front.t1"))
    theirs["reused_from"] = "victim"
    put_json(made, cell_key("sheet", "01-front.t1"), theirs)
    result = stored_json(made, result_key("sheet"))
    result["outputs"][0] |= {name: theirs["picture"][name] for name in ("key", "sha256")}
    put_json(made, result_key("sheet"), result)
    assert "no character sheet victim" in refused(made, redo()).error.message


def test_a_view_that_the_sheet_does_not_have_is_named_with_those_it_has(sheets: MakeSheets) -> None:
    made = sheets()
    manifest = json.loads(redo(("back",)))
    manifest["input"]["views"] += [{"id": "back", "back": True, "framing": "half"}]
    result = refused(made, json.dumps(manifest).encode())
    assert result.error.value == "back"
    assert "front, left, right" in result.error.hint


# ── kills ─────────────────────────────────────────────────────────────────────────────────────────


class Killed(BaseException):
    """Ends an execution as SIGKILL does: nobody catches it."""


PUTS = 1 + 2 * 2 + 2 + 1 + 1
"""The plan, two views reused, a picture with its record, a choice, metrics.json."""


def test_a_redo_that_is_cancelled_names_what_it_reuses_and_tells_of_it_no_event(
    sheets: MakeSheets,
) -> None:
    made = sheets()
    run = made.server.drawing.run
    canceller = Canceller(made.pipeline.store, made.pipeline.runtime, MemorySink(), "me")

    def cancelled(*given: Any, **options: Any) -> Any:
        canceller.cancel("sheet-r2")
        return run(*given, **options)

    made.server.drawing.run = cancelled  # type: ignore[method-assign]
    result = made.finish(redo(), "sheet-r2")
    assert result.status is Status.CANCELLED
    assert [output.view.reused_from for output in result.outputs] == ["sheet", "sheet"]
    assert [(missing.id, missing.reason) for missing in result.missing] == [("left", "cancelled")]
    assert not [event for event in result.events if event.event.endswith("_measured")]
    assert found(audited(made.pipeline, content=True)) == []


IN_SHORT = {(1, False), (2, True), (3, True), (7, True)}
"""A kill of each kind: before the plan, between picture and choice of a reused view, between
two of them, and between a picture that is made and its record."""


@pytest.mark.parametrize(
    ("number", "after"),
    [
        pytest.param(*case, marks=() if case in IN_SHORT else pytest.mark.thorough)
        for case in product(range(1, PUTS + 1), (False, True))
    ],
)
def test_a_kill_stores_no_step_twice_and_reused_views_over_stay(
    sheets: MakeSheets, number: int, after: bool
) -> None:
    made = sheets()
    puts, raw = Counter[str](), made.pipeline.raw.put
    left = [number]

    def put(key: str, body: bytes, condition: Condition, content: str = "") -> Written:
        counts = key.startswith("jobs/sheet-r2/") and key.endswith(("plan.json", "metrics.json"))
        counts = counts or key.startswith(("jobs/sheet-r2/cells/", "jobs/sheet-r2/out/"))
        left[0] -= counts
        if counts and left[0] == 0 and not after:
            raise Killed
        written = raw(key, body, condition, content)
        puts[key] += "/cells/" in key
        if counts and left[0] == 0:
            raise Killed
        return written

    made.pipeline.raw.put = put  # type: ignore[assignment, method-assign]
    made.submit(redo(), "sheet-r2")
    with pytest.raises(Killed):
        made.tick()
    kept = {key: made.pipeline.store.get(key) for key in made.pipeline.keys("jobs/sheet-r2/cells/")}
    made.pipeline.pass_time(made.pipeline.settings.running_seconds + 1)
    made.tick()
    made.tick()
    result: Any = made.pipeline.result("sheet-r2")
    assert (result.status, result.attempt, result.partial) == (Status.SUCCEEDED, 2, False)
    assert [output.view.reused_from for output in result.outputs] == ["sheet", None, "sheet"]
    assert {*made.server.steps} == {"02-left.t1"}
    assert len(made.server.steps) <= 2
    assert max(puts.values()) == 1, "each record is stored once"
    for key, before in kept.items():
        after_it = made.pipeline.store.get(key)
        assert before is not None
        assert after_it is not None
        assert after_it.etag == before.etag
    assert found(audited(made.pipeline, content=True)) == []

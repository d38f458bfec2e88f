"""Character sheets on a worker: records, retries, kills, yields, budgets and ends."""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from config.errors import OutOfMemory
from events.sink import MemorySink
from handlers.character_sheet import sheet_files
from handlers.character_sheet.records import Composition, Picture, SheetRecords, Try
from handlers.character_sheet.sheet_plan import SheetPlan
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.faces.head import Head
from pipeline.contract.keys import metrics_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.jobs.cancel import Canceller
from pipeline.store.base import Always, Condition, Written
from pipeline.worker.execution import Ending
from pipeline.worker.sheet import longest
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.loras.support import flux_lora
from tests.support.audits import audited, found
from tests.support.manifests import body
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import (
    SIDE,
    Outcome,
    face,
    sheet_manifest,
)

PLANNED = "jobs/sheet/plan.json"
PICTURE = Picture(key="k", bytes=1, sha256="s", width=64, height=64, content_type="image/png")
FILES = ["sheet.json", "contact-sheet.png"]
ALL_OF_TWO = ["01-front.c1", "02-left.c1", "01-front.t1", "02-left.t1"]


class Killed(BaseException):
    """Ends an execution as SIGKILL does: nobody catches it."""


@pytest.fixture
def sheets(make_pipeline: MakePipeline) -> Callable[..., Sheets]:
    def make(outcome: Outcome = lambda name: None, step_s: float = 1.0, **options: Any) -> Sheets:
        return Sheets(make_pipeline(**options), outcome, step_s)

    return make


MakeSheets = Callable[..., Sheets]


def test_a_sheet_is_made_step_by_step_and_each_is_recorded(sheets: MakeSheets) -> None:
    made = sheets()
    result = made.finish(sheet_manifest())
    assert made.server.steps == ALL_OF_TWO
    assert made.cells == [
        "01-front.c1",
        "01-front",
        "01-front.t1",
        "02-left.c1",
        "02-left",
        "02-left.t1",
    ]
    assert (result.status, result.partial, result.missing) == (Status.SUCCEEDED, False, ())
    assert [output.view.id for output in result.outputs] == ["front", "left"]
    assert [output.face.match for output in result.outputs] == [0.95, 0.95]
    assert [output.key for output in result.outputs] == [
        "jobs/sheet/out/a1/01-front.t1.png",
        "jobs/sheet/out/a1/02-left.t1.png",
    ]


def test_what_is_said_of_the_sheet_lies_beside_its_pictures(sheets: MakeSheets) -> None:
    made = sheets()
    result = made.finish(sheet_manifest())
    assert [file.name for file in result.files] == FILES
    for file in result.files:
        stored = made.pipeline.store.get(file.key)
        assert stored is not None
        assert hashlib.sha256(stored.body).hexdigest() == file.sha256
        assert len(stored.body) == file.bytes
    assert (result.sheet.views, result.sheet.made) == (2, 2)
    assert result.sheet.least_alike.views == ("01-front", "02-left")
    assert result.sheet.because


def test_without_its_files_a_sheet_is_none_the_less_made(
    sheets: MakeSheets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(sheet_files, "sheet_files", broken)
    result = sheets().finish(sheet_manifest())
    assert (result.status, result.files, result.sheet) == (Status.SUCCEEDED, (), None)
    assert len(result.outputs) == 2


def test_sdxl_makes_a_view_in_one_pass_and_a_back_without_a_face(sheets: MakeSheets) -> None:
    made = sheets()
    result = made.finish(sheet_manifest(["front", "back"], base="sdxl"))
    assert made.server.steps == ["02-back.c1", "01-front.t1"]
    assert [output.view.id for output in result.outputs] == ["front", "back"]
    assert result.outputs[1].face is None


def test_a_wrong_view_is_made_again_and_a_face_below_the_gate_too(sheets: MakeSheets) -> None:
    found = {"01-front.c1": [face(Head(40.0))], "02-left.t1": [face(Head(-35.0), 0.4)]}
    made = sheets(found.get)
    result = made.finish(sheet_manifest(input={"min_face_match": 0.8}))
    assert made.server.steps == [
        "01-front.c1",
        "02-left.c1",
        "02-left.t1",
        "01-front.c2",
        "01-front.t2",
        "02-left.t2",
    ]
    assert [output.view.tries for output in result.outputs] == [2, 2]
    assert not result.partial


def test_a_profile_without_a_found_face_is_neither_missing_nor_made_again(
    sheets: MakeSheets,
) -> None:
    made = sheets(lambda name: [] if "-side" in name else None)
    result = made.finish(sheet_manifest(["front", "side"]))
    assert made.server.steps == ["01-front.c1", "02-side.c1", "01-front.t1"]
    assert (result.partial, result.missing) == (False, ())
    side = result.outputs[1]
    assert (side.view.ok, side.view.reason) == (None, "unmeasured")
    assert (side.face, side.face_reason) == (None, "unmeasured")


def test_what_never_passes_is_missing_and_the_sheet_is_partial(sheets: MakeSheets) -> None:
    made = sheets(lambda name: [face(Head(), 0.4)] if name.startswith("01-front.t") else None)
    result = made.finish(
        sheet_manifest(input={"min_face_match": 0.8, "attempts_per_view": 2, "min_views": 1})
    )
    assert (result.status, result.partial) == (Status.SUCCEEDED, True)
    assert [output.view.number for output in result.outputs] == [2]
    [missing] = result.missing
    assert (missing.id, missing.reason, missing.tries) == ("front", "face_below_gate", 2)
    assert missing.best == "jobs/sheet/out/a1/01-front.t1.png"


def test_with_too_few_views_it_fails_and_names_what_it_has(sheets: MakeSheets) -> None:
    made = sheets(lambda name: [] if name.startswith("01-front.c") else None)
    result = made.finish(sheet_manifest(input={"attempts_per_view": 1, "min_views": 2}))
    assert (result.status, result.error.code) == (Status.FAILED, "too_few_views")
    assert [output.view.id for output in result.outputs] == ["left"]
    assert result.missing[0].reason == "no_face"


def test_each_try_at_a_face_is_an_event_whose_uuid_comes_from_its_record(
    sheets: MakeSheets,
) -> None:
    found = {"02-left.t1": [face(Head(-35.0), 0.4)]}
    made = sheets(found.get)
    result = made.finish(sheet_manifest(input={"min_face_match": 0.8}))
    measured = [
        event.properties
        for event in result.events
        if event.event == "modal_instantid_face_consistency_measured"
    ]
    assert [(each["view"], each["gate_try"], each["kept"]) for each in measured] == [
        ("front", 0, True),
        ("left", 0, False),
        ("left", 1, True),
    ]
    names = Counter(event.event for event in result.events)
    assert names["modal_character_sheet_generation_requested"] == 1
    assert names["modal_character_sheet_generation_completed"] == 1


def test_the_views_share_the_cost_of_all_executions(sheets: MakeSheets) -> None:
    result = sheets().finish(sheet_manifest())
    assert sum(output.view.usd for output in result.outputs) == pytest.approx(
        result.cost.total_usd, rel=1e-3, abs=1e-7
    )


def test_the_lease_tells_how_far_each_view_is(sheets: MakeSheets) -> None:
    made = sheets()
    shown = []
    wait = made.server.drawing.run

    def run(graph: Any, **options: Any) -> Any:
        done = wait(graph, **options)
        if len(made.server.steps) == 3:
            heart = next(each for each in threading.enumerate() if each.name == "lease-sheet")
            beat = heart._target.__self__  # type: ignore[attr-defined]
            shown.append(beat._progress.views)
        return done

    made.server.drawing.run = run  # type: ignore[method-assign]
    made.finish(sheet_manifest())
    assert shown == [{"01-front": "composed", "02-left": "composed"}]


# ── making room, budgets, ends ────────────────────────────────────────────────────────────────────

ONE_SLOT = "[routes.Flux]\nmax_in_flight = 1\n"


def after_steps(sheets: Sheets, number: int, act: Callable[[], object]) -> None:
    """Do something while the n-th picture is drawn."""
    draw = sheets.server.drawing.run

    def run(graph: Any, **options: Any) -> Any:
        done = draw(graph, **options)
        if len(sheets.server.steps) == number:
            act()
        return done

    sheets.server.drawing.run = run  # type: ignore[method-assign]


def test_after_its_slice_a_sheet_makes_room_and_goes_on_later(sheets: MakeSheets) -> None:
    made = sheets(routes=ONE_SLOT, slice_seconds=2)
    other = body(input={"width": SIDE, "height": SIDE})
    after_steps(made, 2, lambda: made.pipeline.submit("other", other))
    made.submit(sheet_manifest())
    made.tick()
    lease = made.pipeline.lease("sheet")
    assert (lease.phase, lease.failures, lease.preemptions) == (Phase.RETRY, 0, 0)
    assert lease.yielded_at is not None
    assert lease.spent.usd > 0
    assert not lease.spent.upper_bound
    assert made.cells == ["01-front.c1", "02-left.c1"]
    made.pipeline.pass_time(1)
    made.tick()
    assert made.engine.endings == [Ending.YIELDED, Ending.COMMITTED]
    assert made.pipeline.result("other").status is Status.SUCCEEDED
    made.tick()
    result: Any = made.pipeline.result("sheet")
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    assert [name for name in made.server.steps if name[0] == "0"] == ALL_OF_TWO
    assert result.cost.total_usd > result.cost.usd


def test_without_anybody_waiting_it_goes_on_after_its_slice(sheets: MakeSheets) -> None:
    made = sheets(routes=ONE_SLOT, slice_seconds=2)
    made.finish(sheet_manifest())
    assert made.engine.endings == [Ending.COMMITTED]


def test_before_the_time_limit_it_always_yields_and_each_execution_takes_a_step(
    sheets: MakeSheets,
) -> None:
    made = sheets(step_s=2.0, job_timeout_seconds=6)
    made.submit(sheet_manifest())
    for _ in range(10):
        made.tick()
        made.pipeline.pass_time(made.pipeline.settings.renew_seconds * 1.25 + 1)
    result: Any = made.pipeline.result("sheet")
    assert made.server.steps == ALL_OF_TWO
    assert made.engine.endings[0] is Ending.YIELDED
    assert result.attempt == len(made.engine.endings) > 1


def test_a_step_takes_as_long_as_its_like_did_or_else_as_the_others() -> None:
    composed = Composition(number=1, view="v1", k=1, seed=1, picture=PICTURE, seconds=2.0)
    faced = Try(number=1, view="v1", k=1, seed=1, picture=PICTURE, seconds=3.0)
    assert longest(Compose(1, 1), SheetRecords()) == 0
    assert longest(MakeFace(1, 1, 1), SheetRecords.of([composed])) == 2
    both = SheetRecords.of([composed, faced])
    assert (longest(Compose(2, 1), both), longest(MakeFace(2, 1, 1), both)) == (2, 3)


def test_a_budget_ends_a_sheet_between_steps_as_partial(sheets: MakeSheets) -> None:
    made = sheets(step_s=30.0)
    result = made.finish(sheet_manifest(["front", "left", "right"], base="sdxl", max_cost_usd=0.04))
    assert made.engine.endings == [Ending.COMMITTED]
    assert (result.status, result.partial) == (Status.SUCCEEDED, True)
    assert 1 <= len(result.outputs) < 3
    assert {missing.reason for missing in result.missing} == {"over_budget"}


def test_an_error_that_does_not_pass_never_loses_what_was_made(sheets: MakeSheets) -> None:
    made = sheets(max_attempts=1)

    def fail() -> None:
        raise OutOfMemory("no room")

    after_steps(made, 2, fail)
    result = made.finish(sheet_manifest(base="sdxl"))
    assert (result.status, result.partial, result.error) == (Status.SUCCEEDED, True, None)
    assert [missing.reason for missing in result.missing] == ["out_of_memory"]


def test_the_plan_of_the_first_execution_binds_the_later_ones(sheets: MakeSheets) -> None:
    made = sheets()
    made.submit(sheet_manifest())
    with suppress(Killed):
        DyingPut(made, 3, after=True)
        made.tick()
    stored = made.pipeline.store.get(PLANNED)
    assert stored is not None
    plan = SheetPlan.parse(stored.body)
    assert plan is not None
    shorter = plan.model_copy(update={"views": plan.views[:1]})
    made.pipeline.raw._store.put(PLANNED, shorter.body(), Always())
    made.pipeline.pass_time(made.pipeline.settings.running_seconds + 1)
    made.tick()
    result: Any = made.pipeline.result("sheet")
    assert [output.view.id for output in result.outputs] == ["front"]


def test_the_lora_of_the_first_execution_binds_the_later_ones(sheets: MakeSheets) -> None:
    """Also when a newer one was trained meanwhile."""
    made = sheets()
    folder = "loras/flux-character-ann"
    made.pipeline.raw._store.put(f"{folder}/1.safetensors", flux_lora(1), Always())
    of_lora = {"reference_images": [], "lora_id": "ann"}
    made.submit(sheet_manifest(input=of_lora))
    with suppress(Killed):
        DyingPut(made, 3, after=True)
        made.tick()
    made.pipeline.pass_time(made.pipeline.settings.running_seconds + 1)
    made.pipeline.raw._store.put(f"{folder}/2.safetensors", flux_lora(2), Always())
    made.tick()
    result: Any = made.pipeline.result("sheet")
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    assert made.server.steps == ["01-front.c1", "02-left.c1"]
    assert result.provenance.lora.key == f"{folder}/1.safetensors"
    assert [output.face_reason for output in result.outputs] == ["no_reference"] * 2


def test_a_deadline_that_passes_between_executions_leaves_a_partial_sheet(
    sheets: MakeSheets,
) -> None:
    made = sheets()
    deadline = (made.pipeline.now + timedelta(seconds=30)).isoformat()
    made.submit(sheet_manifest(base="sdxl", deadline=deadline))
    with suppress(Killed):
        DyingPut(made, 4, after=False)
        made.tick()
    assert made.cells == ["01-front.t1"]
    made.pipeline.pass_time(made.pipeline.settings.running_seconds + 1)
    made.tick()
    result: Any = made.pipeline.result("sheet")
    assert (result.status, result.partial, result.error) == (Status.SUCCEEDED, True, None)
    assert [output.view.id for output in result.outputs] == ["front"]
    assert [missing.reason for missing in result.missing] == ["deadline_exceeded"]
    assert [file.name for file in result.files] == FILES
    assert result.sheet.mean_match == 0.95
    names = [event.event for event in result.events]
    assert names.count("modal_character_sheet_generation_completed") == 1
    assert names.count("modal_instantid_face_consistency_measured") == 1


def test_a_cancel_between_steps_names_what_was_made_and_the_worker_ends(
    sheets: MakeSheets,
) -> None:
    made = sheets()
    canceller = Canceller(made.pipeline.store, made.pipeline.runtime, MemorySink(), "me")
    after_steps(made, 2, lambda: canceller.cancel("sheet"))
    result = made.finish(sheet_manifest(base="sdxl"))
    assert result.status is Status.CANCELLED
    assert [output.view.id for output in result.outputs] == ["front"]
    assert [missing.reason for missing in result.missing] == ["cancelled"]
    assert [file.name for file in result.files] == FILES
    assert made.engine.endings != [Ending.COMMITTED]


def test_an_execution_that_lost_its_lease_adopts_and_changes_nothing(sheets: MakeSheets) -> None:
    """While the first execution draws, another one makes the whole sheet."""
    made = sheets()
    started = []

    def overtake() -> None:
        started.append(True)
        lease = made.pipeline.lease("sheet")
        made.pipeline.raw._store.put(
            "leases/sheet.json",
            lease.model_copy(update={"started_at": lease.started_at}).with_().body(),
            Always(),
        )
        made.pipeline.pass_time(made.pipeline.settings.running_seconds + 1)
        made.tick()

    after_steps(made, 2, overtake)
    made.submit(sheet_manifest())
    made.tick()
    result: Any = made.pipeline.result("sheet")
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    assert made.engine.endings == [Ending.COMMITTED, Ending.STALE]
    for output in result.outputs:
        assert output.key in made.pipeline.keys("jobs/sheet/out/")
    assert sorted({*made.cells}) == sorted(made.cells)


# ── kills ─────────────────────────────────────────────────────────────────────────────────────────


class DyingPut:
    """Ends the execution at the n-th PUT of a step's picture or record, before or after it."""

    def __init__(self, sheets: Sheets, number: int, *, after: bool) -> None:
        self.left, self.after = number, after
        self._put = sheets.pipeline.raw.put
        sheets.pipeline.raw.put = self.put  # type: ignore[assignment]

    def put(self, key: str, body: bytes, condition: Condition, content: str = "") -> Written:
        counts = key == PLANNED or "/cells/" in key or "/out/" in key
        self.left -= counts
        if counts and self.left == 0 and not self.after:
            raise Killed
        written = self._put(key, body, condition, content)
        if counts and self.left == 0:
            raise Killed
        return written


def killed(sheets: Sheets, number: int, *, after: bool) -> bool:
    """Whether the sheet was killed there, and not finished before."""
    dying = DyingPut(sheets, number, after=after)
    sheets.submit(sheet_manifest(["front", "back"]))
    try:
        sheets.tick()
    except Killed:
        assert dying.left == 0
        return True
    return False


PUTS = 1 + 3 * 2 + 2 + 2 + 1
"""The plan, three pictures and their records, two choices, two files about it, metrics.json."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, PUTS + 1))
def test_a_kill_costs_at_most_the_step_in_work(
    sheets: MakeSheets, number: int, after: bool
) -> None:
    made = sheets()
    assert killed(made, number, after=after)
    kept = made.cells
    made.pipeline.pass_time(made.pipeline.settings.running_seconds + 1)
    made.tick()
    made.tick()
    result: Any = made.pipeline.result("sheet")
    attempt = 1 if number == PUTS else 2  # metrics.json is written behind the commit
    assert (result.status, result.attempt, result.partial) == (Status.SUCCEEDED, attempt, False)
    assert metrics_key("sheet", attempt) in made.pipeline.keys("jobs/sheet/out/")
    twice = [name for name, times in Counter(made.server.steps).items() if times > 1]
    assert len(twice) <= 1
    assert not {*twice} & {*kept}
    assert made.cells == [
        "01-front.c1",
        "01-front",
        "01-front.t1",
        "02-back.c1",
        "02-back",
    ]
    for output in result.outputs:
        assert output.key in made.pipeline.keys("jobs/sheet/out/")
    uuids = [event.uuid for event in result.events]
    assert len(uuids) == len({*uuids})
    audit = audited(made.pipeline, content=True)
    assert found(audit) == []
    if kept == made.cells:  # all steps were taken: the kill came at what is said of them
        assert audit.tally.waste <= 3, "sheet.json, contact sheet and metrics of that execution"
    else:
        assert audit.tally.waste <= len({*twice} - {*kept}), "the lost picture"

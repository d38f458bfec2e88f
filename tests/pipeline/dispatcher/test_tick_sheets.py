"""Character sheets that end at a dispatcher, by whole ticks over a bucket."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import pytest

from config.errors import StoreUnavailable
from pipeline.contract.keys import result_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Result, Status
from pipeline.dispatcher.tick import SHEETS_A_TICK
from pipeline.store.base import Always
from tests.support.audits import audited, found
from tests.support.begun_sheets import begun_plan, made_view, put_begun_sheet
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture


class Killed(BaseException):
    """Ends a dispatcher as SIGKILL does: nobody catches it."""


def begin(pipeline: PipelineFixture, id: str = "sheet", made: Sequence[int] = (1, 2)) -> None:
    """A sheet whose last execution is lost."""
    failures = pipeline.settings.max_attempts - 1
    put_begun_sheet(pipeline.raw._store, id, made, failures=failures)


def lapse(pipeline: PipelineFixture) -> None:
    pipeline.pass_time(pipeline.settings.running_seconds + 1)


def ended(pipeline: PipelineFixture, id: str) -> bool:
    return pipeline.keys(result_key(id)) != []


def stored_files(pipeline: PipelineFixture, result: Result) -> list[str]:
    """Names of the files that stand as the result says."""
    names = []
    for file in result.files:
        stands = pipeline.raw._store.get(file.key)
        assert stands is not None
        assert hashlib.sha256(stands.body).hexdigest() == file.sha256
        names.append(file.name)
    return names


def test_the_last_failure_leaves_the_views_and_what_is_said_of_them(
    holding: PipelineFixture,
) -> None:
    begin(holding)
    lapse(holding)
    assert holding.tick().committed == 1
    result = holding.result("sheet")
    assert (result.status, result.partial, len(result.outputs)) == (Status.SUCCEEDED, True, 2)
    assert stored_files(holding, result) == ["sheet.json", "contact-sheet.png"]
    assert result.sheet is not None
    assert (result.sheet.made, result.sheet.mean_match, result.sheet.mean_alike) == (2, 0.9, 1.0)
    audit = audited(holding, content=True)
    assert (found(audit), audit.tally.waste) == ([], 0)


def test_under_min_views_it_fails_with_the_same_files(holding: PipelineFixture) -> None:
    begin(holding)
    plan = begun_plan(min_views=3)
    holding.raw._store.put("jobs/sheet/plan.json", plan.body(), Always())
    lapse(holding)
    holding.tick()
    result = holding.result("sheet")
    assert (result.status, len(result.outputs)) == (Status.FAILED, 2)
    assert stored_files(holding, result) == ["sheet.json", "contact-sheet.png"]


def test_a_picture_that_is_gone_stops_no_commit(holding: PipelineFixture) -> None:
    begin(holding)
    holding.raw._store.delete(made_view(1).picture.key)
    lapse(holding)
    assert holding.tick().committed == 1
    assert len(stored_files(holding, holding.result("sheet"))) == 2


@pytest.mark.parametrize("after", ["sheet.json", "contact-sheet.png"])
def test_a_kill_before_the_commit_leaves_files_that_nobody_names_and_the_next_one_ends_it(
    holding: PipelineFixture, after: str
) -> None:
    begin(holding)
    lapse(holding)
    put = holding.raw.put

    def dying(key: str, *given: object) -> object:
        written = put(key, *given)  # type: ignore[arg-type]
        if key.endswith(after):
            raise Killed
        return written

    holding.raw.put = dying  # type: ignore[assignment, method-assign]
    with pytest.raises(Killed):
        holding.tick()
    holding.raw.put = put  # type: ignore[method-assign]
    assert not ended(holding, "sheet")
    left = holding.keys("jobs/sheet/out/a2/")
    holding.pass_time(holding.settings.spawned_seconds + 1)
    assert holding.tick().committed == 1
    result = holding.result("sheet")
    assert not {*left} & {file.key for file in result.files}
    assert Counter(stored_files(holding, result)) == {"sheet.json": 1, "contact-sheet.png": 1}
    audit = audited(holding, content=True)
    assert (found(audit), audit.tally.waste) == ([], len(left))


def test_a_store_that_is_away_leaves_the_sheet_for_later(holding: PipelineFixture) -> None:
    begin(holding)
    lapse(holding)
    holding.raw.fail = lambda call, key: (
        StoreUnavailable("away") if key.endswith("sheet.json") and "/out/" in key else None
    )
    assert holding.tick().failed == 1
    holding.raw.fail = lambda call, key: None
    holding.pass_time(holding.settings.spawned_seconds + 1)
    holding.tick()
    assert len(stored_files(holding, holding.result("sheet"))) == 2


def test_few_sheets_end_in_one_tick_and_other_jobs_start_all_the_same(
    holding: PipelineFixture,
) -> None:
    ids = [f"sheet-{number}" for number in range(SHEETS_A_TICK + 2)]
    for id in ids:
        begin(holding, id, made=())
    leases = {id: holding.lease(id) for id in ids}
    lapse(holding)
    holding.submit("other", body())
    report = holding.tick()
    assert (report.committed, report.spawned, report.active) == (SHEETS_A_TICK, 1, True)
    left = [id for id in ids if not ended(holding, id)]
    assert len(left) == 2
    assert [holding.lease(id) for id in left] == [leases[id] for id in left], "nobody took them"
    assert holding.tick().committed == 2


def test_sheets_that_go_on_are_bounded_too_and_all_of_them_go_on(
    holding: PipelineFixture,
) -> None:
    ids = [f"sheet-{number}" for number in range(SHEETS_A_TICK + 1)]
    for id in ids:
        put_begun_sheet(holding.raw._store, id, (), phase=Phase.RETRY, not_before=holding.now)
    assert [holding.tick().spawned for _ in range(2)] == [SHEETS_A_TICK, 1]
    assert sorted(payload.id for payload in holding.held.payloads) == ids

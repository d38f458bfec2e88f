"""Executions of jobs that an operator stops."""

from collections.abc import Callable
from typing import Any

import pytest

from config.errors import ComfyDied, PromptInterrupted
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.contract.stops import ScopeKind, StopNote, StopScope
from pipeline.queue.stops import lift_stop, put_stop
from pipeline.worker.execution import Ending
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.worker.test_execution import run, spawned
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.sheet_pipeline import Sheets
from tests.support.sheets import sheet_manifest
from tests.support.stack import wait_until

ALL = StopScope(ScopeKind.ALL)
QUICK = {"first_renew_seconds": 0.1, "renew_seconds": 0.1}


@pytest.fixture
def quick(make_pipeline: MakePipeline) -> PipelineFixture:
    return make_pipeline(holding=True, **QUICK)


def later(pipeline: PipelineFixture) -> None:
    """When a dispatcher looks again at a lease that a worker has written."""
    pipeline.pass_time(30)
    pipeline.store.list("leases/")


def stop_in_the_middle(pipeline: PipelineFixture, error: Exception | None) -> Callable[..., None]:
    """A prompt that runs until it is told to stop, as ComfyUI's client does."""

    def before(should_stop: Callable[[], bool], **options: Any) -> None:
        put_stop(pipeline.store, ALL, StopNote())
        assert wait_until(should_stop)
        if error is not None:
            raise error

    return before


def test_a_job_that_is_stopped_before_its_start_is_handed_back(holding: PipelineFixture) -> None:
    payload = spawned(holding)
    put_stop(holding.store, ALL, StopNote())
    assert run(holding, payload) is Ending.RETRY
    lease = holding.lease("job-1")
    assert (lease.phase, lease.failures, lease.started_at) == (Phase.RETRY, 0, None)
    assert lease.error is not None
    assert lease.error.code == "stopped"
    holding.tick()
    assert len(holding.held.payloads) == 1
    lift_stop(holding.store, ALL)
    later(holding)
    holding.tick()
    assert run(holding, holding.held.payloads[1]) is Ending.COMMITTED


def test_a_running_job_is_interrupted_and_handed_back_at_no_failure(quick: PipelineFixture) -> None:
    payload = spawned(quick)
    before = stop_in_the_middle(quick, PromptInterrupted("by us"))
    assert run(quick, payload, before) is Ending.HALTED
    lease = quick.lease("job-1")
    assert (lease.phase, lease.failures, lease.preemptions) == (Phase.RETRY, 0, 0)
    assert (lease.started_at, lease.stopped) == (None, False)
    assert quick.tick().spawned == 0
    lift_stop(quick.store, ALL)
    later(quick)
    assert quick.tick().spawned == 1
    assert run(quick, quick.held.payloads[1]) is Ending.COMMITTED
    assert quick.result("job-1").attempt == 2


def test_pictures_that_are_made_already_are_committed(quick: PipelineFixture) -> None:
    payload = spawned(quick)
    assert run(quick, payload, stop_in_the_middle(quick, None)) is Ending.COMMITTED
    assert quick.result("job-1").status is Status.SUCCEEDED


def test_an_error_of_its_own_counts_all_the_same(quick: PipelineFixture) -> None:
    payload = spawned(quick)
    before = stop_in_the_middle(quick, ComfyDied("no"))
    assert run(quick, payload, before) is Ending.RETRY
    assert quick.lease("job-1").failures == 1


def test_a_sheet_is_handed_back_after_its_step_and_keeps_what_it_has(
    make_pipeline: MakePipeline,
) -> None:
    stopped = False

    def outcome(name: str) -> None:
        nonlocal stopped
        if stopped:
            return
        stopped = True
        put_stop(sheets.pipeline.store, ALL, StopNote())
        renewals = sheets.pipeline.raw.calls["LIST"]
        assert wait_until(lambda: sheets.pipeline.raw.calls["LIST"] > renewals + 1)

    sheets = Sheets(make_pipeline(**QUICK), outcome)
    sheets.submit(sheet_manifest())
    sheets.tick()
    lease = sheets.pipeline.lease("sheet")
    assert (lease.phase, lease.failures, lease.yielded_at) == (Phase.RETRY, 0, None)
    assert len(sheets.server.steps) == 1
    kept = sheets.cells
    lift_stop(sheets.pipeline.store, ALL)
    later(sheets.pipeline)
    sheets.tick()
    assert sheets.pipeline.result("sheet").status is Status.SUCCEEDED
    assert set(kept) <= set(sheets.cells)
    assert len(sheets.server.steps) == len(set(sheets.server.steps))

"""The store's clock is the only one that the queue goes by. All of these tests have a store whose
clock is months from this machine's; here it also jumps, in the middle of jobs."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.contract.keys import OWED
from pipeline.contract.result import Status
from pipeline.store.memory import wall_clock
from pipeline.worker.execution import execute
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.dispatcher.test_tick_budgets import put
from tests.support.pipeline_fixture import PipelineFixture

DAY = 86_400


@pytest.fixture
def pipeline(make_pipeline: MakePipeline, tmp_path: Path) -> PipelineFixture:
    budgets = tmp_path / "budgets.toml"
    budgets.write_text("[budgets.total]\nusd = 1\n")
    return make_pipeline(holding=True, budgets_file=budgets)


def go_on(pipeline: PipelineFixture, dispatchers: int = 2) -> list[str]:
    """Until all that is spawned has been executed, by dispatchers that take turns."""
    made = [pipeline.another(f"d-{number}") for number in range(dispatchers)]
    endings = []
    for _ in range(4):
        for each in made:
            pipeline.tick(each)
        payloads, pipeline.held.payloads[:] = [*pipeline.held.payloads], []
        endings += [execute(each, pipeline.context, call_id=None).value for each in payloads]
        pipeline.deliver()
        pipeline.pass_time(20)
    return sorted(endings)


@pytest.mark.parametrize("jump_s", [-DAY, -7200, -300, 300, 7200, DAY])
def test_jobs_end_once_each_whatever_the_clock_does_meanwhile(
    pipeline: PipelineFixture, jump_s: float
) -> None:
    assert abs(pipeline.now - wall_clock()) > timedelta(days=30)
    put(pipeline, "a")
    pipeline.tick()
    pipeline.pass_time(jump_s)
    put(pipeline, "b")
    endings = go_on(pipeline)
    assert endings.count("committed") == 2
    assert {*endings} <= {"committed", "stale"}
    for id in "ab":
        assert pipeline.result(id).status is Status.SUCCEEDED
        assert len([key for key in pipeline.keys("spend/") if key.endswith(f".{id}")]) == 1
    assert not pipeline.keys("leases/")
    assert not pipeline.keys(OWED)


def test_what_waits_for_a_time_waits_longer_after_a_jump_back_and_is_not_lost(
    pipeline: PipelineFixture,
) -> None:
    put(pipeline, "a")
    pipeline.tick()
    pipeline.held.payloads.clear()  # its worker never comes
    pipeline.pass_time(-7200)
    for _ in range(3):
        pipeline.pass_time(900)
        assert pipeline.tick().taken_over == 0
    pipeline.pass_time(7200)
    assert pipeline.tick().taken_over == 1
    assert go_on(pipeline) == ["committed"]

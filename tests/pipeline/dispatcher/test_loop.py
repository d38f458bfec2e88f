import threading
import time
from collections.abc import Callable

import pytest

from config.errors import StoreDenied, StoreNotConditional
from config.settings import Settings
from pipeline.dispatcher.loop import Wakeup, dispatch, next_wait
from pipeline.dispatcher.tick import TickReport
from pipeline.store.base import Busy
from tests.pipeline.conftest import MakePipeline
from tests.support.pipeline_fixture import PipelineFixture

QUICK = {"poll_active_seconds": 0.05, "poll_idle_seconds": 0.2}


def test_while_work_is_known_ticks_come_each_second_and_then_more_rarely() -> None:
    settings = Settings()
    waits = [next_wait(idle, settings) for idle in range(12)]
    assert waits[:4] == [1, 1.5, 2.25, 3.375]
    assert waits[-1] == waits[-2] == 15


@pytest.fixture
def run_loop() -> Callable[..., list[TickReport]]:
    def run(
        pipeline: PipelineFixture, stop: Callable[[list[TickReport], Wakeup], None]
    ) -> list[TickReport]:
        reports: list[TickReport] = []
        wakeup = Wakeup()

        def on_tick(report: TickReport) -> None:
            reports.append(report)
            stop(reports, wakeup)

        dispatch(pipeline.dispatcher, wakeup, for_s=120, on_tick=on_tick)
        return reports

    return run


def test_it_goes_on_until_the_bell_says_stop(
    make_pipeline: MakePipeline, run_loop: Callable[..., list[TickReport]]
) -> None:
    pipeline = make_pipeline(**QUICK)

    def stop(reports: list[TickReport], wakeup: Wakeup) -> None:
        if len(reports) == 3:
            wakeup.stop()

    assert len(run_loop(pipeline, stop)) == 3


def test_it_ends_before_its_time_is_over(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(poll_active_seconds=0.05, poll_idle_seconds=1)
    began = time.monotonic()
    dispatch(pipeline.dispatcher, Wakeup(), for_s=1.5)  # the last wait would take it beyond
    assert 0.1 < time.monotonic() - began <= 1.5


def test_a_bell_cuts_the_wait_short(
    make_pipeline: MakePipeline, run_loop: Callable[..., list[TickReport]]
) -> None:
    pipeline = make_pipeline(poll_active_seconds=60, poll_idle_seconds=60)

    def stop(reports: list[TickReport], wakeup: Wakeup) -> None:
        if len(reports) == 1:
            pipeline.submit("job-1")
            threading.Timer(0.05, wakeup.notify).start()
        else:
            wakeup.stop()

    began = time.monotonic()
    reports = run_loop(pipeline, stop)
    assert [report.spawned for report in reports] == [0, 1]
    assert time.monotonic() - began < 30


def test_a_store_that_is_briefly_away_is_waited_for(
    make_pipeline: MakePipeline, run_loop: Callable[..., list[TickReport]]
) -> None:
    pipeline = make_pipeline(**QUICK)
    pipeline.submit("job-1")
    failures = [Busy("503")] * 5

    def fail(call: str, key: str) -> Exception | None:
        return failures.pop() if failures else None

    pipeline.raw.fail = fail
    reports = run_loop(pipeline, lambda reports, wakeup: wakeup.stop())
    assert [report.spawned for report in reports] == [1]
    assert failures == []


@pytest.mark.parametrize("error", [StoreDenied("403"), StoreNotConditional("no Date")])
def test_a_store_that_refuses_us_ends_it(make_pipeline: MakePipeline, error: Exception) -> None:
    pipeline = make_pipeline(**QUICK)
    pipeline.raw.fail = lambda call, key: error
    with pytest.raises(type(error)):
        dispatch(pipeline.dispatcher, Wakeup(), for_s=10)

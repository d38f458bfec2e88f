from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import IdConflict
from pipeline.acceptance.driver import Driver
from pipeline.acceptance.estimate import PricedJob, ready
from pipeline.acceptance.jobs import jobs_of
from pipeline.jobs.submit import submit
from tests.support.acceptances import plan
from tests.support.pipeline_fixture import PipelineFixture


def priced_jobs(
    pipeline: PipelineFixture, pictures: int = 3, prompt: str = "a cat"
) -> list[PricedJob]:
    flux = {"prompts": [prompt], "pictures": pictures, "input": {"width": 256, "height": 256}}
    return ready(jobs_of(plan(flux=flux), "r"), Path(), "default", pipeline.runtime)


def driver(pipeline: PipelineFixture, *, at_once: int = 2, bound: float | None = None) -> Driver:
    """The yard's dispatcher looks whenever it waits."""
    seconds = iter(range(10_000))
    return Driver(
        pipeline.store,
        at_once,
        bound,
        patience_s=50,
        sleep=lambda _: _look(pipeline),
        monotonic=lambda: next(seconds),
    )


def _look(pipeline: PipelineFixture) -> None:
    pipeline.tick()


def sending(pipeline: PipelineFixture) -> Callable[[PricedJob], None]:
    def send(priced: PricedJob) -> None:
        submit(pipeline.store, priced.prepared)

    return send


def test_no_more_jobs_are_on_their_way_than_it_may_be(pipeline: PipelineFixture) -> None:
    driving, most = driver(pipeline), []
    progress = driving.found(priced_jobs(pipeline, 5))

    driving.drive(
        progress,
        sending(pipeline),
        on_look=lambda seen: most.append(len(seen.under_way)),
    )

    assert max(most) == 2
    assert [view.succeeded for view in progress.views.values()] == [True] * 5
    assert (progress.stopped, progress.unsent) == (None, [])


def test_a_second_start_sends_nothing_twice(pipeline: PipelineFixture) -> None:
    some = priced_jobs(pipeline)
    for priced in some[:2]:
        submit(pipeline.store, priced.prepared)
    pipeline.tick()
    sent: list[str] = []
    driving = driver(pipeline)
    progress = driving.found(some)

    def send(priced: PricedJob) -> None:
        sent.append(priced.job.id)
        submit(pipeline.store, priced.prepared)

    driving.drive(progress, send)

    assert sent == ["r-flux-dev-03"]
    assert all(view.succeeded for view in progress.views.values())


def test_a_run_of_another_plan_needs_another_name(pipeline: PipelineFixture) -> None:
    submit(pipeline.store, priced_jobs(pipeline)[0].prepared)
    pipeline.tick()

    with pytest.raises(IdConflict) as error:
        driver(pipeline).found(priced_jobs(pipeline, prompt="a dog"))

    assert "--run" in (error.value.hint or "")


def test_nothing_is_sent_beyond_the_bound(pipeline: PipelineFixture) -> None:
    some = priced_jobs(pipeline)
    driving, most = driver(pipeline, bound=(some[0].usd or 0) * 1.5), []
    progress = driving.found(some)

    driving.drive(
        progress,
        sending(pipeline),
        on_look=lambda seen: most.append(len(seen.under_way)),
    )

    # Nobody bills what ran here: one at a time was always affordable, and two were not.
    assert max(most) == 1
    assert all(view.succeeded for view in progress.views.values())

    more = driving.found(priced_jobs(pipeline, 4))
    driving.drive(more, lambda priced: None, spent_usd=1.0)

    assert "more than" in (more.stopped or "")
    assert [priced.job.id for priced in more.unsent] == ["r-flux-dev-04"]


def test_it_gives_up_when_nothing_happens(holding: PipelineFixture) -> None:
    driving = driver(holding)
    progress = driving.found(priced_jobs(holding))

    driving.drive(progress, sending(holding))

    assert progress.stopped == "nothing happened to any job for 50 s"
    assert len(progress.under_way) == 2

from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import IdConflict
from pipeline.acceptance.driver import Driver
from pipeline.acceptance.estimate import PricedJob, ready
from pipeline.acceptance.jobs import jobs_of
from pipeline.jobs.submit import submit
from tests.support.acceptances import plan
from tests.support.yard import Yard


def priced_jobs(yard: Yard, pictures: int = 3, prompt: str = "a cat") -> list[PricedJob]:
    flux = {"prompts": [prompt], "pictures": pictures, "input": {"width": 256, "height": 256}}
    return ready(jobs_of(plan(flux=flux), "r"), Path(), "default", yard.runtime)


def driver(yard: Yard, *, at_once: int = 2, bound: float | None = None) -> Driver:
    """The yard's dispatcher looks whenever it waits."""
    seconds = iter(range(10_000))
    return Driver(
        yard.store,
        at_once,
        bound,
        patience_s=50,
        sleep=lambda _: _look(yard),
        monotonic=lambda: next(seconds),
    )


def _look(yard: Yard) -> None:
    yard.tick()


def sending(yard: Yard) -> Callable[[PricedJob], None]:
    def send(priced: PricedJob) -> None:
        submit(yard.store, priced.prepared)

    return send


def test_no_more_jobs_are_on_their_way_than_it_may_be(yard: Yard) -> None:
    driving, most = driver(yard), []
    progress = driving.found(priced_jobs(yard, 5))

    driving.drive(
        progress,
        sending(yard),
        on_look=lambda seen: most.append(len(seen.under_way)),
    )

    assert max(most) == 2
    assert [view.succeeded for view in progress.views.values()] == [True] * 5
    assert (progress.stopped, progress.unsent) == (None, [])


def test_a_second_start_sends_nothing_twice(yard: Yard) -> None:
    some = priced_jobs(yard)
    for priced in some[:2]:
        submit(yard.store, priced.prepared)
    yard.tick()
    sent: list[str] = []
    driving = driver(yard)
    progress = driving.found(some)

    def send(priced: PricedJob) -> None:
        sent.append(priced.job.id)
        submit(yard.store, priced.prepared)

    driving.drive(progress, send)

    assert sent == ["r-flux-dev-03"]
    assert all(view.succeeded for view in progress.views.values())


def test_a_run_of_another_plan_needs_another_name(yard: Yard) -> None:
    submit(yard.store, priced_jobs(yard)[0].prepared)
    yard.tick()

    with pytest.raises(IdConflict) as error:
        driver(yard).found(priced_jobs(yard, prompt="a dog"))

    assert "--run" in (error.value.hint or "")


def test_nothing_is_sent_beyond_the_bound(yard: Yard) -> None:
    some = priced_jobs(yard)
    driving, most = driver(yard, bound=(some[0].usd or 0) * 1.5), []
    progress = driving.found(some)

    driving.drive(
        progress,
        sending(yard),
        on_look=lambda seen: most.append(len(seen.under_way)),
    )

    # Nobody bills what ran here: one at a time was always affordable, and two were not.
    assert max(most) == 1
    assert all(view.succeeded for view in progress.views.values())

    more = driving.found(priced_jobs(yard, 4))
    driving.drive(more, lambda priced: None, spent_usd=1.0)

    assert "more than" in (more.stopped or "")
    assert [priced.job.id for priced in more.unsent] == ["r-flux-dev-04"]


def test_it_gives_up_when_nothing_happens(holding: Yard) -> None:
    driving = driver(holding)
    progress = driving.found(priced_jobs(holding))

    driving.drive(progress, sending(holding))

    assert progress.stopped == "nothing happened to any job for 50 s"
    assert len(progress.under_way) == 2

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.errors import IdConflict, InvalidInput, InvalidSetting, OverBudget
from pipeline.acceptance.http import Web
from pipeline.acceptance.jobs import PricedJob, bucket_jobs, priced
from pipeline.acceptance.run import Driver, Run, RunObserver, RunOptions
from pipeline.jobs.submit import submit
from pipeline.worker.execution import execute
from tests.pipeline.acceptance.conftest import Reach
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.loras.support import flux_lora
from tests.support.acceptances import SMALL, plan, plan_file
from tests.support.pipeline_fixture import PipelineFixture


def priced_jobs(
    pipeline: PipelineFixture, pictures: int = 3, prompt: str = "a cat"
) -> list[PricedJob]:
    flux = {"prompts": [prompt], "pictures": pictures, "input": {"width": 256, "height": 256}}
    return priced(bucket_jobs(plan(flux=flux), "r"), Path(), "default", pipeline.runtime)


def driver(pipeline: PipelineFixture, *, at_once: int = 2, bound: float | None = None) -> Driver:
    """The pipeline's dispatcher looks whenever it waits."""
    seconds = iter(range(10_000))

    def look(_: float) -> None:
        pipeline.tick()

    return Driver(
        pipeline.store,
        at_once,
        bound,
        patience_s=50,
        sleep=look,
        monotonic=lambda: next(seconds),
    )


def sending(pipeline: PipelineFixture) -> Callable[[PricedJob], object]:
    return lambda each: submit(pipeline.store, each.prepared)


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
    for each in some[:2]:
        submit(pipeline.store, each.prepared)
    pipeline.tick()
    sent: list[str] = []
    driving = driver(pipeline)
    progress = driving.found(some)

    def send(each: PricedJob) -> None:
        sent.append(each.job.id)
        submit(pipeline.store, each.prepared)

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
    driving, most = driver(pipeline, bound=(some[0].estimate.usd or 0) * 1.5), []
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
    driving.drive(more, lambda each: None, spent_usd=1.0)

    assert "more than" in (more.stopped or "")
    assert [each.job.id for each in more.unsent] == ["r-flux-dev-04"]


def test_it_gives_up_when_nothing_happens(holding: PipelineFixture) -> None:
    driving = driver(holding)
    progress = driving.found(priced_jobs(holding))

    driving.drive(progress, sending(holding))

    assert progress.stopped == "nothing happened to any job for 50 s"
    assert len(progress.under_way) == 2


LORAS = {"prompt": "reading", "input": SMALL, "files": [{"file": "film.safetensors"}]}
ONE = {"kinds": ["flux-dev"], "input": SMALL}


def run(
    pipeline: PipelineFixture,
    folder: Path,
    web: Web | None = None,
    *,
    gpus: Sequence[str] = (),
    bound: float | None = None,
    engine: str = "modal",
    said: list[str] | None = None,
    **of_plan: Any,
) -> Run:
    return Run(
        plan_file(folder, http=ONE, **of_plan),
        RunOptions("r", folder / "out", gpus, bound),
        replace(pipeline.runtime, platform=engine),
        driver(pipeline, bound=bound),
        web,
        RunObserver(said=(said if said is not None else []).append),
    )


@pytest.fixture
def l40s(make_pipeline: MakePipeline, tmp_path: Path) -> PipelineFixture:
    (tmp_path / "film.safetensors").write_bytes(flux_lora())
    return make_pipeline(gpu="L40S", state_dir=tmp_path / "state")


def test_a_whole_run_sees_everything(l40s: PipelineFixture, reach: Reach, tmp_path: Path) -> None:
    said: list[str] = []
    going = run(l40s, tmp_path, reach(l40s), gpus=["L40S"], said=said, loras=LORAS)
    forecast = going.prepare()
    assert l40s.keys() == []

    findings = going.go()

    facts = findings.facts
    assert forecast.jobs == 3 + 2 + 1 + 3
    assert [each.succeeded for each in facts.outcomes] == [True] * 6
    assert facts.standin
    assert facts.health is not None
    assert [answer.fault for answer in facts.answers or ()] == [None]
    assert (findings.stopped, findings.gpus[0].pictures, findings.gpus[0].why) == (None, 3, "")
    assert said == ["asking /health", "putting LoRAs into the bucket", "POST /flux-dev"]


def test_a_second_start_makes_nothing_and_finds_the_same(
    l40s: PipelineFixture, reach: Reach, tmp_path: Path
) -> None:
    web = reach(l40s)
    first = run(l40s, tmp_path, web, gpus=["L40S"])
    first.prepare()
    before, keys = first.go(), l40s.keys("jobs/")
    second = run(l40s, tmp_path, web, gpus=["L40S"])
    forecast = second.prepare()
    after = second.go()

    assert (forecast.there, len(forecast.coming)) == (6, 1)
    assert forecast.spent_usd > 0
    assert l40s.keys("jobs/") == keys
    assert after.facts.results == before.facts.results
    assert after.gpus == before.gpus


def test_what_is_not_affordable_is_refused_before_anything_is_sent(
    l40s: PipelineFixture, tmp_path: Path
) -> None:
    forecast = run(l40s, tmp_path, bound=0.0001).prepare()

    with pytest.raises(OverBudget):
        forecast.require_affordable()
    assert forecast.document()["expected_usd"] > 0.0001
    assert l40s.keys() == []


def test_http_jobs_beyond_the_bound_are_not_asked_for(
    l40s: PipelineFixture, reach: Reach, tmp_path: Path
) -> None:
    going = run(l40s, tmp_path, reach(l40s), bound=1e-9)
    going.prepare()

    findings = going.go()

    assert "more than" in (findings.stopped or "")
    assert (findings.facts.answers or ())[0].fault is not None
    assert l40s.keys("jobs/") == []
    assert findings.facts.outcomes[0].why.startswith("not sent: ")


def test_jobs_that_do_not_end_are_told_with_their_state(
    holding: PipelineFixture, tmp_path: Path
) -> None:
    going = run(holding, tmp_path)
    going.prepare()

    whys = [each.why for each in going.go().facts.outcomes]

    assert [why.partition(":")[0] for why in whys] == ["still claimed", "still claimed", "not sent"]


def test_gpus_are_chosen_on_modal_alone_and_by_names_of_the_table(
    pipeline: PipelineFixture, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="takes the machine as it is") as local:
        run(pipeline, tmp_path, gpus=["L40S"], engine="local").prepare()
    assert "RYLA_ENGINE=modal" in (local.value.hint or "")
    with pytest.raises(InvalidSetting) as unknown:
        run(pipeline, tmp_path, gpus=["L40"]).prepare()
    assert unknown.value.field == "--gpus"
    with pytest.raises(InvalidInput, match="is no GPU"):
        run(pipeline, tmp_path, gpus=["none"]).prepare()


def test_an_api_over_another_bucket_leaves_no_result_here(
    l40s: PipelineFixture, make_pipeline: MakePipeline, reach: Reach, tmp_path: Path
) -> None:
    going = run(l40s, tmp_path, reach(l40s, make_pipeline()))
    going.prepare()

    last = going.go().facts.outcomes[-1]

    assert (last.result, last.why) == (None, "not in the bucket")


def test_a_result_of_another_plan_is_none_of_this_run(
    holding: PipelineFixture, tmp_path: Path
) -> None:
    """It was on its way when this one began, so that nobody could see what it is."""
    changed = {"prompts": ["a dog"], "pictures": 1, "input": SMALL}
    before, going = run(holding, tmp_path, flux=changed), run(holding, tmp_path)
    before.prepare()
    submit(holding.store, before.through_bucket.priced_jobs[0].prepared)
    holding.tick()
    going.prepare()
    execute(holding.held.payloads[0], holding.context, call_id=None)
    holding.deliver()

    first, *_ = going.go().facts.outcomes

    assert (first.result, first.why) == (
        None,
        "made from another plan: give the run another name",
    )

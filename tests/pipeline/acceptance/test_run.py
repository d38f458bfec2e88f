from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.errors import InvalidInput, InvalidSetting, OverBudget
from pipeline.acceptance.driver import Driver
from pipeline.acceptance.http import Web
from pipeline.acceptance.run import FILE, Run, RunObserver, RunOptions, first_health
from pipeline.jobs.submit import submit
from pipeline.worker.execution import execute
from tests.pipeline.acceptance.conftest import Reach
from tests.pipeline.conftest import MakePipeline
from tests.pipeline.loras.support import flux_lora
from tests.support.acceptances import SMALL, plan_file
from tests.support.pipeline_fixture import PipelineFixture


def test_a_later_start_of_the_run_keeps_the_first_answer(
    pipeline: PipelineFixture, reach: Reach, tmp_path: Path
) -> None:
    web = reach(pipeline)
    first = first_health(web, tmp_path / "out", idle=True)

    assert first.idle
    assert first_health(web, tmp_path / "out", idle=True) == first


def test_who_asked_before_nobody_can_tell_from_a_file_of_another_url(
    pipeline: PipelineFixture, reach: Reach, tmp_path: Path
) -> None:
    web = reach(pipeline)
    for observer in ("no JSON", first_health(web, tmp_path, idle=True).model_dump_json()):
        (tmp_path / FILE).write_text(observer.replace("127.0.0.1", "other"))
        assert not first_health(web, tmp_path, idle=True).idle


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
    seconds = iter(range(10_000))

    def look(_: float) -> None:
        pipeline.tick()

    driver = Driver(
        pipeline.store,
        2,
        bound,
        patience_s=50,
        sleep=look,
        monotonic=lambda: next(seconds),
    )
    return Run(
        plan_file(folder, http=ONE, **of_plan),
        RunOptions("r", folder / "out", gpus, bound),
        replace(pipeline.runtime, engine=engine),
        driver,
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

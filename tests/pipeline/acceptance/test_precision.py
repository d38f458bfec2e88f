from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from config.errors import InvalidInput
from pipeline.acceptance.criteria.criterion import Facts
from pipeline.acceptance.jobs import Forecast
from pipeline.acceptance.precision import Pair, Side, pairs, psnr
from pipeline.acceptance.run import Findings, Run, RunOptions
from pipeline.acceptance.summary import account, render
from pipeline.contract.result import Provenance
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.pipeline.acceptance.test_run import driver
from tests.pipeline.conftest import MakePipeline
from tests.support.acceptances import outcome, plan_file
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.report_results import output, result


def drawn(*colour: int, size: int = 32) -> bytes:
    file = BytesIO()
    Image.new("RGB", (size, size), tuple(colour)).save(file, "PNG")
    return file.getvalue()


def test_the_noise_between_two_pictures_is_told_in_decibels() -> None:
    assert psnr(drawn(10, 10, 10), drawn(11, 11, 11)) == pytest.approx(48.13, abs=0.01)
    assert psnr(drawn(10, 10, 10), drawn(10, 10, 13)) == pytest.approx(43.36, abs=0.01)
    assert psnr(drawn(10, 10, 10), drawn(10, 10, 10)) is None
    assert psnr(drawn(10, 10, 10), drawn(10, 10, 10, size=16)) is None


def run(pipeline: PipelineFixture, folder: Path, name: str, beside: str | None = None) -> Run:
    options = RunOptions(name, folder / "out", beside=beside)
    runtime = replace(pipeline.runtime, platform="modal")
    return Run(plan_file(folder), options, runtime, driver(pipeline))


def test_a_second_run_is_made_with_the_seeds_of_the_first(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    pipeline = make_pipeline(gpu="L40S", state_dir=tmp_path / "state")
    first = run(pipeline, tmp_path, "in-bf16")
    first.prepare()
    made = first.go().facts.results
    second = run(pipeline, tmp_path, "in-fp8", beside="in-bf16")
    second.prepare()

    findings = second.go()

    seeds = [
        [each.outputs[0].seed for each in results] for results in (made, findings.facts.results)
    ]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 3
    compared = pairs(findings.facts.outcomes, findings.beside, pipeline.store)
    assert [(each.before.job, each.after.job) for each in compared] == [
        (f"in-bf16-flux-dev-0{n}", f"in-fp8-flux-dev-0{n}") for n in (1, 2, 3)
    ]
    assert run(pipeline, tmp_path, "in-fp8", beside="in-bf16").prepare().there == 3


def test_a_run_that_made_nothing_cannot_stand_beside_another(
    pipeline: PipelineFixture, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="'other'") as error:
        run(pipeline, tmp_path, "r", beside="other").prepare()

    assert error.value.field == "--compare-precision"
    assert pipeline.keys() == []


def test_the_page_shows_both_pictures_with_what_each_took(tmp_path: Path) -> None:
    store = SafeStore(MemoryStore())
    store.write("k", drawn(10, 10, 10), "image/png")
    store.write("small", drawn(12, 10, 10), "image/png")
    told = Provenance(engine="comfyui", app_version="1", sampled={"fp8": 20})
    after = outcome(
        "fp8-face-01",
        outputs=(output(0.93).model_copy(update={"key": "small"}),),
        provenance=told,
        seconds=2.0,
    )
    before = result("bf16-face-01", outputs=(output(0.95),), seconds=3.0, usd=0.02)
    findings = Findings(Facts([after]), beside={after.job.id: before})

    made = account("fp8", "ryla", Forecast(1, 0, 0.0, [], None), findings, store, tmp_path)

    (pair,) = made.precision
    assert (pair.before.match, pair.after.match) == (0.95, 0.93)
    assert (pair.before.seconds, pair.after.seconds) == (3.0, 2.0)
    assert made.document()["precision"][0]["after"]["sampled"] == "20 fp8"
    assert made.document()["precision"][0]["psnr_db"] == pytest.approx(46.88, abs=0.01)
    page = render(made)
    assert "46.9 dB apart" in page
    assert page.count("data:image") >= 2
    assert "fp8-face-01: 20 fp8;" in page


def test_a_picture_that_is_gone_has_no_pair() -> None:
    each = outcome("fp8-flux-dev-01")
    store = SafeStore(MemoryStore())

    assert pairs([each], {each.job.id: result("bf16-flux-dev-01")}, store) == ()


def test_a_document_has_no_pictures_in_it() -> None:
    side = Side("job", "20 fp8", 1.0, 0.01, None, "data:image/jpeg;base64,x")

    assert "data:" not in str(Pair(side, side, None).document())

import base64
import json
from pathlib import Path

import pytest

from config.errors import OverBudget, UnknownField
from config.settings import Settings
from pipeline.acceptance.acceptance_plan import TARGETS
from pipeline.acceptance.jobs import (
    Forecast,
    PricedJob,
    Stage,
    bucket_jobs,
    expected_usd,
    gpu_jobs,
    http_jobs,
    over,
    priced,
)
from pipeline.runtime import load_runtime
from tests.support.acceptances import SMALL, plan

FACES = {"references": ["a.png", "b.png"], "prompts": ["on a quay"]}
LORAS = {"prompt": "reading", "files": [{"id": "ann", "trigger_word": "ohwx"}, {"name": "film"}]}


def test_ids_follow_from_the_runs_name_alone() -> None:
    first, again = (bucket_jobs(plan(), "run-7") for _ in range(2))

    assert first == again
    assert [job.id for job in first] == [f"run-7-flux-dev-0{n}" for n in (1, 2, 3)]
    assert [job.input["prompt"] for job in first] == ["a cat", "a dog", "a cat"]
    assert first[0].input["width"] == SMALL["width"]


def test_each_lora_is_used_and_the_first_once_more() -> None:
    jobs = [job for job in bucket_jobs(plan(loras=LORAS), "r") if job.stage is Stage.LORA]

    assert [job.subject for job in jobs] == ["ann", "film", "ann"]
    assert jobs[0].input == {"prompt": "reading", "lora_id": "ann", "trigger_word": "ohwx"}
    assert jobs[1].input == {"prompt": "reading", "lora_name": "film"}


def test_each_reference_gets_a_picture_of_every_target() -> None:
    jobs = [job for job in bucket_jobs(plan(faces=FACES), "r") if job.stage is Stage.FACE]

    assert [job.subject for job in jobs] == [target for target in TARGETS for _ in "ab"]
    assert [job.input.get("base") for job in jobs[::2]] == ["flux-dev", "z-image-turbo", None]
    assert {job.input["reference_image"] for job in jobs} == {"@a.png", "@b.png"}
    assert jobs[-1].id == "r-face-sdxl-instantid-02"


def test_the_same_person_gets_a_sheet_on_each_base() -> None:
    sheets = {"references": ["a.png", "b.png"], "description": "a woman"}
    jobs = [job for job in bucket_jobs(plan(sheets=sheets), "r") if job.stage is Stage.SHEET]

    assert [job.id for job in jobs] == ["r-sheet-sdxl", "r-sheet-flux-dev", "r-sheet-z-image-turbo"]
    assert {tuple(job.input["reference_images"]) for job in jobs} == {("@a.png", "@b.png")}
    assert [job.input["base"] for job in jobs] == [job.subject for job in jobs]
    one = plan(sheets={**sheets, "bases": ["sdxl"], "input": {"views": "lora-24"}})
    (job,) = [job for job in bucket_jobs(one, "r") if job.stage is Stage.SHEET]
    assert job.input["views"] == "lora-24"


def test_over_http_goes_one_job_of_each_kind_that_the_plan_has_the_means_for() -> None:
    some = [job.model for job in http_jobs(plan(), "r")]
    every = [job.model for job in http_jobs(plan(faces=FACES, loras=LORAS), "r")]
    asked = [job.model for job in http_jobs(plan(http={"kinds": ["flux-dev"]}), "r")]

    assert some == ["flux-dev", "flux-schnell", "z-image-turbo"]
    assert set(every) - set(some) == {"flux-lora", "flux-instantid", "sdxl-instantid"}
    assert asked == ["flux-dev"]


def test_a_reference_goes_over_http_as_a_data_url(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    faces = plan(faces={**FACES, "prompts": ["@ the quay"]}, http={"kinds": ["sdxl-instantid"]})

    body = http_jobs(faces, "r")[0].body(tmp_path)

    assert (
        body["reference_image"] == f"data:image/png;base64,{base64.b64encode(b'picture').decode()}"
    )
    assert body["prompt"] == "@ the quay"


def test_gpus_are_measured_one_after_the_other() -> None:
    jobs = gpu_jobs(plan(gpus={"pictures": 2}), "r", ["A100-80GB", "H100!"])

    assert [job.id for job in jobs] == [
        "r-gpu-a100-80gb-01",
        "r-gpu-a100-80gb-02",
        "r-gpu-h100-01",
        "r-gpu-h100-02",
    ]
    assert [job.subject for job in jobs[::2]] == ["A100-80GB", "H100!"]


def test_a_source_is_what_submit_reads(tmp_path: Path) -> None:
    source = bucket_jobs(plan(), "r")[0].source(tmp_path)

    assert (source.file_id, source.folder) == ("r-flux-dev-01", tmp_path)
    assert json.loads(source.body)["model"] == "flux-dev"


RUNTIME = load_runtime(Settings(), "modal")
HERE = Path()


def priced_jobs(**changes: object) -> list[PricedJob]:
    return priced(bucket_jobs(plan(**changes), "r"), HERE, "acme", RUNTIME)


def test_an_order_is_a_manifest_with_its_price() -> None:
    first = priced_jobs()[0]

    assert first.prepared.key == "inbox/4.acme.flux-dev.r-flux-dev-01.json"
    assert (first.estimate.gpu, first.estimate.usd is not None) == ("L40S", True)
    assert expected_usd(priced_jobs()) == pytest.approx(3 * (first.estimate.usd or 0))


def test_on_a_named_gpu_it_costs_what_that_gpu_costs() -> None:
    slow, fast = priced(gpu_jobs(plan(), "r", ["A10", "H100"])[::3], HERE, "acme", RUNTIME)

    assert (slow.estimate.gpu, fast.estimate.gpu) == ("A10", "H100")
    assert (slow.estimate.seconds or 0) > (fast.estimate.seconds or 0)


def test_a_field_that_is_none_is_told_with_the_part_of_the_plan() -> None:
    with pytest.raises(UnknownField) as error:
        priced_jobs(flux={"prompts": ["x"], "input": {"widht": 512}})

    assert error.value.message.startswith("[flux] flux-dev: ")
    assert "width" in (error.value.hint or "")


def test_a_bound_holds_for_what_was_spent_and_what_is_coming() -> None:
    some = priced_jobs()
    price = expected_usd(some)

    assert over(None, 100, some) is None
    assert over(price, 0, some) is None
    refusal = over(price, 0.01, some)
    assert isinstance(refusal, OverBudget)
    assert refusal.field == "--max-cost-usd"


def test_no_bound_can_be_kept_where_nobody_can_tell_the_cost() -> None:
    unknown = priced(gpu_jobs(plan(), "r", ["RTX-PRO-6000"]), HERE, "acme", RUNTIME)
    assert unknown[0].estimate.usd is None

    Forecast(3, 0, 0.0, unknown, None).require_affordable()
    with pytest.raises(OverBudget, match="no estimate"):
        Forecast(3, 0, 0.0, unknown, 5.0).require_affordable()

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.contract.keys import result_key
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.manifests import manifest
from tests.support.report_results import result

Write = Callable[..., Path]


def test_a_plan_needs_no_bucket_and_sends_nothing(bare_ryla: Ryla, write: Write) -> None:
    answer = bare_ryla("plan", write("cat.json"), "--platform", "modal")

    assert answer.code == 0, answer.err
    for text in ("dollars", "done in", "cold starts", "Flux", "L40S", "From estimates alone"):
        assert text in answer.out


def test_what_ifs_stand_side_by_side(bare_ryla: Ryla, tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"job-{n}", **manifest()}) for n in range(30)]
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    words = ("plan", "many.jsonl", "--platform", "modal", "--what-if", "max_containers=2")
    answer = bare_ryla(*words, "--what-if", "platform=runpod")

    assert answer.code == 0, answer.err
    assert "max_containers=2" in answer.out.splitlines()[0]
    found = bare_ryla(*words, "--json").document["forecasts"]
    assert [each["name"] for each in found] == ["as it is", "max_containers=2"]
    assert [each["routes"][0]["workers"]["expected"] for each in found] == [8, 2]


def test_several_platforms_are_told_each_and_in_all(bare_ryla: Ryla, tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"job-{n}", **manifest()}) for n in range(30)]
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    (tmp_path / "routes.toml").write_text(
        '[routes.Flux]\nplatforms = ["modal", "runpod"]\nmax_containers = 1\noverflow_after_s = 20'
    )
    words = ("plan", "many.jsonl", "--what-if", "platforms=runpod", "--what-if", "platform=modal")
    routes = {"RYLA_ROUTES_FILE": str(tmp_path / "routes.toml"), "RYLA_ENGINE": "modal"}
    answer = bare_ryla(*words, **routes)

    assert answer.code == 0, answer.err
    for text in ("came over", "in all", "runpod", "modal"):
        assert text in answer.out
    usual, *others = bare_ryla(*words, "--json", **routes).document["forecasts"]
    jobs = {each["platform"]: each["jobs"] for each in usual["platforms"]}
    assert sorted(jobs) == ["modal", "runpod"]
    assert sum(jobs.values()) == usual["jobs"] == 30
    usd = sum(each["usd"]["expected"] for each in usual["platforms"])
    assert usd == pytest.approx(usual["usd"]["expected"], abs=1e-5)
    assert [each["platform"] for each in others] == ["runpod", "modal"]
    bound = bare_ryla(*words, "--json", **routes, RYLA_PLATFORMS="modal").document["forecasts"]
    assert bound[0]["platform"] == "modal"


def test_a_manifest_that_would_not_be_sent_is_told_as_by_submit(
    ryla: Ryla, write: Write, store: SafeStore
) -> None:
    file = write("odd.json", input={"prompt": "a cat", "widht": 256})
    told = ryla("plan", file, "--json")

    assert told.code == 1
    assert told.error == ryla("submit", file, "--json").error
    assert store.list("inbox/").entries == ()


def test_what_waits_in_the_bucket_is_planned_by_its_results(
    ryla: Ryla, write: Write, store: SafeStore
) -> None:
    for n in range(5):
        made = result(f"past-{n}", seconds=5, finished_at=store.now())
        assert made.metrics is not None
        metrics = made.metrics.model_copy(update={"estimate_seconds": 10.0})
        store.create(result_key(made.id), made.model_copy(update={"metrics": metrics}).body())
    ryla("submit", write("cat.json"))
    words = ("plan", "--bucket", "--platform", "modal", "--json")
    found, alone = ryla(*words).document, ryla(*words, "--no-history").document

    assert (found["results"], alone["results"]) == (5, 0)
    told, reckoned = (each["forecasts"][0]["working_s"]["expected"] for each in (found, alone))
    assert told == pytest.approx(reckoned / 2, rel=1e-4)


def test_neither_files_nor_the_bucket_is_wrong_usage(bare_ryla: Ryla) -> None:
    assert bare_ryla("plan").code == 2


def test_a_platform_that_is_none_is_named(bare_ryla: Ryla, write: Write) -> None:
    answer = bare_ryla("plan", write("cat.json"), "--platform", "mars", "--json")
    assert (answer.code, answer.error["field"]) == (1, "--platform")

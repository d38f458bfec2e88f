from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import output
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.result import Output, Result, Status
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.pipeline.cli.leases import running
from tests.support.jobs import a_result


@pytest.fixture
def two(ryla: Ryla, write: Callable[..., Path]) -> None:
    ryla("submit", write("a.json"), write("b.json"))
    for id in ("a", "b"):
        ryla("cancel", id)


@pytest.mark.usefixtures("two")
def test_named_results_are_shown(ryla: Ryla) -> None:
    answer = ryla("results", "b", "--json")

    assert answer.code == 0
    [line] = answer.document["results"]
    assert (line["id"], line["result"]["status"], line["files"]) == ("b", "cancelled", [])
    assert "cancelled" in ryla("results", "a").out


@pytest.mark.usefixtures("two")
def test_all_results_are_shown_up_to_a_limit(ryla: Ryla) -> None:
    both = ryla("results", "--all", "--json").document["results"]
    one = ryla("results", "--all", "--limit", "1", "--json").document["results"]

    assert sorted(line["id"] for line in both) == ["a", "b"]
    assert len(one) == 1


@pytest.mark.usefixtures("two")
def test_they_are_written_where_one_wants_them(ryla: Ryla, tmp_path: Path) -> None:
    answer = ryla("results", "a", "b", "--out", "here", "--json")

    for line in answer.document["results"]:
        [file] = line["files"]
        found = Result.parse((tmp_path / file).read_bytes())
        assert found is not None
        assert found.id == line["id"]


def test_a_job_without_a_result_is_an_error_and_shows_where_it_is(
    ryla: Ryla, store: SafeStore
) -> None:
    store.create("leases/busy.json", running("busy", 0, None).body())
    answer = ryla("results", "busy", "nobody", "--json")

    assert answer.code == 1
    assert [line["state"] for line in answer.document["results"]] == ["running", "unknown"]
    assert "running" in ryla("results", "busy", "--out", "here").out


@pytest.mark.usefixtures("two")
def test_an_output_that_is_gone_fails_its_job_alone(ryla: Ryla, store: SafeStore) -> None:
    result = a_result(
        id="c",
        outputs=(
            Output(
                key="jobs/c/out/a1/image-0.png",
                bytes=3,
                sha256="0" * 64,
                width=1,
                height=1,
                content_type="image/png",
                seed=1,
            ),
        ),
    )
    store.create("jobs/c/result.json", result.body())
    answer = ryla("results", "c", "a", "--out", "here", "--json")

    assert answer.code == 1
    assert answer.error["code"] == "outputs_missing"
    c, a = answer.document["results"]
    assert c["error"]["code"] == "outputs_missing"
    assert a["result"]["status"] == "cancelled"


@pytest.mark.usefixtures("two")
def test_a_refusal_says_what_to_do_about_it(ryla: Ryla, store: SafeStore) -> None:
    refused = a_result(
        id="r",
        status=Status.REJECTED,
        error=ErrorInfo(code="lora_not_found", message="no LoRA 'x'", hint="Add it."),
    )
    store.create("jobs/r/result.json", refused.body())

    said = ryla("results", "r").out
    assert "lora_not_found: no LoRA 'x'" in said
    assert "→ Add it." in said


@pytest.mark.usefixtures("two")
def test_a_narrow_terminal_gets_keys_in_whole_lines(
    ryla: Ryla, store: SafeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = "3ea315a809fa7a0f98c600f0bbd03881"
    refused = a_result(
        id=id,
        status=Status.REJECTED,
        model="character-sheet",
        error=ErrorInfo(code="lora_not_found", message="no LoRA 'x'", hint="Add it."),
    )
    store.create(f"jobs/{id}/result.json", refused.body())
    monkeypatch.setattr(output, "PIPED_COLUMNS", 80)

    lines = ryla("results", id).out.splitlines()
    assert lines[1].split() == [id, "character-sheet", "rejected"]
    assert lines[2:] == [id, "  lora_not_found: no LoRA 'x'", "  → Add it."]

import os
from pathlib import Path

import pytest

from pipeline.contract.keys import result_key
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.report_results import refused, result


@pytest.fixture
def three(store: SafeStore) -> None:
    for each in (
        result("real", usd=0.25),
        result("drawn", engine="standin", usd=0),
        refused("odd"),
    ):
        store.create(result_key(each.id), each.body())


@pytest.mark.usefixtures("three")
def test_a_report_is_a_table_a_document_and_a_page(ryla: Ryla, tmp_path: Path) -> None:
    said = ryla("report", "--since", "1h", "--page", "out/report.html")

    assert said.code == 0, said.err
    for text in ("2 jobs, 1 pictures", "more than 95 %", "L40S", "$0.2500", "unknown_field 1"):
        assert text in said.out
    assert "1 jobs, 1 pictures that no model made" in " ".join(said.out.split())
    assert "ryla report" in (tmp_path / "out/report.html").read_text()
    document = ryla("report", "--since", "1h", "--json").document
    assert (document["jobs"], document["standin"]["jobs"]) == (2, 1)
    assert document["read"]["results"] == 3


def test_modal_that_does_not_answer_is_told_and_the_report_goes_on(ryla: Ryla) -> None:
    answer = ryla("report", "--since", "1h", "--modal")

    assert answer.code == 0
    assert "not compared: the span holds no whole day" in " ".join(answer.out.split())


def test_a_time_that_is_none_is_an_error_with_examples(ryla: Ryla) -> None:
    answer = ryla("report", "--since", "yesterday", "--json")

    assert (answer.code, answer.error["field"]) == (1, "--since")
    assert "24h" in answer.error["hint"]


def test_the_commands_of_its_page_run(
    ryla: Ryla, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modal").write_text("#!/bin/sh\necho '[]'\n")
    (tmp_path / "modal").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    page = (Path(__file__).parents[3] / "docs/report.md").read_text()
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("    ryla ")]

    assert len(commands) == 3
    answers = [ryla(*command) for command in commands]

    assert [answer.code for answer in answers] == [0, 0, 0]
    assert (tmp_path / "this-year.html").exists()
    assert len(answers[2].document["modal"]["days"]) >= 6

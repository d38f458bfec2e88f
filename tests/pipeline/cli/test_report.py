import os
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.contract.keys import result_key
from pipeline.contract.spend_entry import EVER, since_key
from pipeline.notify.spend_note import note_spend
from pipeline.store.conditional import SafeStore
from tests.pipeline.cli.conftest import Ryla
from tests.support.report_results import event_of, refused, result


@pytest.fixture
def three(store: SafeStore) -> None:
    for each in (
        result("real", usd=0.25),
        result("drawn", engine="standin", usd=0),
        refused("odd"),
    ):
        ended = each.model_copy(update={"finished_at": store.now()})
        store.create(result_key(each.id), ended.body())


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


def test_the_jobs_of_a_new_bucket_are_found_by_spend(ryla: Ryla, store: SafeStore) -> None:
    """In a real store: some have rules of their own for where a listing begins."""
    now = store.now()
    store.create(since_key(EVER), b"{}")
    for id, days in (("real", 0), ("older", 1), ("oldest", 40)):
        ended = result(id, usd=0.25, finished_at=now - timedelta(days=days))
        store.create(result_key(id), ended.body())
        note_spend(store, ended)
    read = ryla("report", "--since", "1m", "--json").document["read"]
    shown = ryla("results", "--all", "--json").document["results"]

    assert (read["results"], read["lists_jobs"]) == (1, False)
    assert [line["id"] for line in shown] == ["real", "older", "oldest"]
    assert ryla("report", "--since", "30d", "--json").document["jobs"] == 2


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
    (tmp_path / "modal.csv").write_text("Description,Interval Start,Cost\n")
    (tmp_path / "runpod.json").write_text("[]")
    page = (Path(__file__).parents[3] / "docs/report.md").read_text()
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("    ryla ")]

    assert len(commands) == 4
    answers = [ryla(*command) for command in commands]

    assert [answer.code for answer in answers] == [0, 0, 0, 0]
    assert (tmp_path / "this-year.html").exists()
    assert len(answers[2].document["modal"]["days"]) >= 6


def test_a_bill_stands_beside_our_sums(ryla: Ryla, store: SafeStore, tmp_path: Path) -> None:
    now = store.now()
    ours = result(usd=0.25, finished_at=now - timedelta(days=1), events=(event_of("modal"),))
    store.create(result_key(ours.id), ours.body())
    rows = [f"ap-1,ryla,main,{now - timedelta(days=age):%Y-%m-%d},0.5" for age in (1, 0)]
    header = "Object ID,Description,Environment,Interval Start,Cost"
    (tmp_path / "modal.csv").write_text("\n".join([header, *rows]))
    answer = ryla("report", "--since", "3d", "--bill", "modal.csv")

    assert answer.code == 0, answer.err
    said = " ".join(answer.out.split())
    assert "ryla $0.2500 $0.5000 -50.0 %" in said
    assert "1 days, $0.5000, are not compared" in said
    assert "modal.csv, modal: 2 rows, $1.0000," in said
    document = ryla("report", "--since", "3d", "--bill", "modal.csv", "--json").document
    assert document["bills"]["lines"][-1]["billed_usd"] == 0.5
    assert document["bill_files"]["files"][0]["rows"] == 2


def test_the_same_bill_twice_counts_once_and_that_is_told(
    ryla: Ryla, store: SafeStore, tmp_path: Path
) -> None:
    day = f"{store.now() - timedelta(days=1):%Y-%m-%d}"
    rows = [
        "Object ID,Description,Interval Start,Cost",
        f"ap-1,ryla,{day},1",
        f"ap-1,ryla,{day},-3",
    ]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    (tmp_path / "b.csv").write_text(f"Description,Interval Start,Cost\nryla,{day} 01:00,0.25")
    (tmp_path / "none.json").write_text("[]")
    files = [word for name in ("a.csv", "a.csv", "b.csv", "none.json") for word in ("--bill", name)]
    said = " ".join(ryla("report", "--since", "3d", *files).out.split())

    assert "ryla $0.0000 $-1.7500" in said
    assert "2 rows stand in the files again, the same in every cell, and count once" in said
    assert f"several files have rows of ryla {day}: what is in both" in said
    assert "credits of $3.0000" in said
    assert "none.json has no rows" in said


def test_a_foreign_bill_is_an_error_before_anything_is_read(ryla: Ryla, tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_text("date,price\n2026-11-19,1\n")
    answer = ryla("report", "--bill", "bill.csv", "--json")

    assert (answer.code, answer.error["field"]) == (1, "--bill")
    assert "bill.csv" in answer.error["message"]

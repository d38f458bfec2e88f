"""The page's list of keys, and its counts of requests, are what the code does."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.contract import keys
from pipeline.contract.result import JobCost
from pipeline.contract.spend_entry import MARKS, SINCE, SPEND
from pipeline.contract.stops import STOPS
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.notify.spend_note import note_spend
from tests.support.doc_blocks import ROOT
from tests.support.jobs import a_result
from tests.support.manifests import body
from tests.support.pipeline_fixture import NOON, PipelineFixture

PAGE = (ROOT / "docs/bucket.md").read_text("utf-8")
KEYS = PAGE.split("```")[1]
FOLDERS = [
    *(value for value in vars(keys).values() if isinstance(value, str) and value.endswith("/")),
    *(SPEND, SINCE, MARKS, STOPS),
]
BUDGET = "[budgets.total]\nusd = 1\n"


def said(row: str) -> Counter[str]:
    """The requests of the row that begins so, up to its first semicolon."""
    [text] = re.findall(rf"^\| {re.escape(row)}[^|]*\|([^|]+)\|$", PAGE, re.MULTILINE)
    requests = re.findall(r"(\d+) (PUT|GET|DELETE|LIST)", text.split(";")[0])
    return Counter({verb: int(number) for number, verb in requests})


@pytest.fixture
def bounded(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], PipelineFixture]:
    def made(rows: str) -> PipelineFixture:
        (tmp_path / "budgets.toml").write_text(rows)
        pipeline = PipelineFixture(budgets_file=tmp_path / "budgets.toml")
        request.addfinalizer(pipeline.close)
        return pipeline

    return made


def calls(pipeline: PipelineFixture, do: Callable[[], object]) -> Counter[str]:
    pipeline.raw.calls.clear()
    do()
    pipeline.deliver()
    return Counter(pipeline.raw.calls)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_stands_in_the_list_of_keys(folder: str) -> None:
    assert f"\n{folder}" in KEYS


@pytest.mark.parametrize("key", ["inbox/a.json", "inbox/4.acme.flux-dev.a.json"])
def test_a_job_takes_what_its_row_says(key: str, bounded: Callable[[str], PipelineFixture]) -> None:
    pipeline = bounded("")
    pipeline.submit("a", body(tenant="acme"), key=key)
    look = said("a look at which a job waits")
    outputs_and_metrics, by_the_producer = 2, 1
    expected = said("a job ") + look
    expected["PUT"] += outputs_and_metrics - by_the_producer
    assert calls(pipeline, pipeline.tick) == expected


def test_a_look_takes_what_its_row_says(bounded: Callable[[str], PipelineFixture]) -> None:
    pipeline = bounded("")
    idle = said("an idle look")
    assert calls(pipeline, pipeline.tick) == idle
    pipeline = bounded(BUDGET)
    counted = said("the same with [budgets]")
    assert calls(pipeline, pipeline.tick) == counted  # its first
    assert calls(pipeline, pipeline.tick) == idle
    pipeline.submit("a")
    job = said("a job ")
    assert calls(pipeline, pipeline.tick)["LIST"] == counted["LIST"] + job["LIST"]
    assert calls(pipeline, pipeline.tick) == counted  # a job has ended
    assert calls(pipeline, pipeline.tick) == idle


def test_what_is_looked_for_now_and_then_takes_what_its_row_says(
    bounded: Callable[[str], PipelineFixture],
) -> None:
    pipeline = bounded(BUDGET)
    pipeline.tick()
    idle = said("an idle look")
    seldom = said("each five minutes") + said("with budgets, every")

    def loop() -> None:
        dispatch(pipeline.dispatcher, Wakeup(), for_s=0)

    assert calls(pipeline, loop) == idle + seldom
    assert calls(pipeline, loop) == idle


def test_an_alarm_takes_what_its_row_says(bounded: Callable[[str], PipelineFixture]) -> None:
    pipeline = bounded(BUDGET)
    cost = JobCost(usd=0.6, total_usd=0.6)
    note_spend(pipeline.store, a_result(cost=cost, finished_at=NOON, platform="local"))
    expected = said("the same with [budgets]") + said("an [alarm]")
    assert calls(pipeline, pipeline.tick) == expected

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from events.stored_event import StoredEvent
from pipeline.contract.result import Status
from pipeline.local.demo.checks import check_run
from pipeline.local.demo.demo import DemoRun

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture
def run(demo_run: DemoRun, tmp_path: Path) -> DemoRun:
    """The demo in a folder that may be spoilt."""
    shutil.copytree(demo_run.out, tmp_path / "out")
    return replace(demo_run, out=tmp_path / "out")


def faults(run: DemoRun) -> list[str]:
    return [fault for check in check_run(run) for fault in check.faults]


def picture(run: DemoRun) -> str:
    return run.results["watchmaker"].outputs[0].key


def test_a_picture_with_another_byte_is_found(run: DemoRun) -> None:
    with open(run.out / picture(run), "ab") as file:
        file.write(b"\0")

    assert faults(run) == [f"{picture(run)} has other bytes than its result says"]


def test_a_picture_that_is_gone_is_found(run: DemoRun) -> None:
    (run.out / picture(run)).unlink()

    assert faults(run) == [f"{picture(run)} is not there"]


def test_metrics_that_differ_from_the_results_are_found(run: DemoRun) -> None:
    (run.out / "jobs/watchmaker/out/a1/metrics.json").write_text("{}")
    (run.out / "jobs/observatory/out/a1/metrics.json").unlink()

    assert sorted(faults(run)) == [
        "observatory has no metrics.json",
        "watchmaker has other metrics in metrics.json than in its result",
    ]


def test_a_job_without_result_is_found(run: DemoRun) -> None:
    results = {id: result for id, result in run.results.items() if id != "watchmaker"}

    assert "watchmaker has no result" in faults(replace(run, results=results))


def test_a_refused_manifest_that_ran_is_found(run: DemoRun) -> None:
    ran = run.results["watchmaker"].model_copy(update={"status": Status.REJECTED})

    found = faults(replace(run, results={**run.results, "watchmaker": ran}))

    assert "watchmaker rejected instead of succeeded" in found
    assert "watchmaker was refused, and ran" in found


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda events: events[1:], "did not come"),
        (lambda events: [*events, events[0]], "came 2 times"),
        (
            lambda events: [*events, events[0].model_copy(update={"uuid": "another"})],
            "came unasked",
        ),
    ],
)
def test_an_event_that_is_missing_doubled_or_a_stranger_is_found(
    run: DemoRun, spoil: Callable[[list[StoredEvent]], list[StoredEvent]], fault: str
) -> None:
    (found,) = faults(replace(run, events=spoil(list(run.events))))

    assert fault in found


def test_a_job_that_ran_twice_is_found(run: DemoRun) -> None:
    assert run.again is not None
    twice = replace(run.again, executions=2, result_after=b"{}")

    assert faults(replace(run, again=twice)) == ["its result changed", "it was executed 2 times"]


def test_what_is_left_in_the_bucket_is_found(run: DemoRun) -> None:
    spoilt = replace(run, left=["leases/a.json"], rejected=["rejected/b.json"])

    assert faults(spoilt) == ["leases/a.json is still there", "rejected/b.json was filed"]

from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console

from pipeline.cli import follow as following
from pipeline.cli import output
from pipeline.cli.follow import follow, row, tell_errors
from pipeline.contract.lease import Progress
from pipeline.contract.result import MissingView
from pipeline.jobs.follow import Follower
from pipeline.jobs.status import JobView, State
from tests.pipeline.cli.leases import SUBMITTED, running, waiting_again
from tests.support.pipeline_fixture import PipelineFixture


@pytest.fixture
def pipeline() -> Iterator[PipelineFixture]:
    pipeline = PipelineFixture()
    pipeline.submit("one")
    pipeline.submit("bad", b"{")
    pipeline.tick()
    yield pipeline
    pipeline.close()


def test_rows_tell_how_far_a_job_is_and_how_it_ended(pipeline: PipelineFixture) -> None:
    done, refused = (JobView(id, State.FINISHED, pipeline.result(id)) for id in ("one", "bad"))

    assert row(done)[:4] == ("one", "flux-dev", "succeeded", "1 output")
    assert row(refused)[2:4] == ("rejected", "manifest_not_json")
    assert row(JobView("x", State.WAITING))[:3] == ("x", None, State.WAITING)
    busy = JobView("x", State.RUNNING, lease=running("x", 0.5, "KSampler"))
    assert row(busy)[3].endswith("50% KSampler")
    views = {"01-front": "made", "02-back": "waiting", "03-left": "made", "04-right": "later"}
    sheet = running("x", 0.5, "KSampler").with_(progress=Progress(fraction=0.5, views=views))
    told = row(JobView("x", State.RUNNING, lease=sheet))[3]
    assert told.endswith("50% 2 made, 1 waiting, 1 later")
    again = JobView("x", State.RETRY, lease=waiting_again("x", SUBMITTED))
    assert row(again)[3] == "after comfyui_died"


def test_what_was_refused_is_told_with_what_to_do_about_it(
    pipeline: PipelineFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_errors(JobView(id, State.FINISHED, pipeline.result(id)) for id in ("one", "bad"))

    told = capsys.readouterr().err
    assert told.startswith("manifest_not_json: bad: the manifest is not JSON")
    assert "hint   Write one JSON object" in told
    assert "one:" not in told


def test_a_sheet_that_lacks_views_says_how_many_there_are(pipeline: PipelineFixture) -> None:
    missing = (MissingView(number=2, id="back", reason="face_shown"),)
    partial = pipeline.result("one").model_copy(update={"partial": True, "missing": missing})

    assert row(JobView("one", State.FINISHED, partial))[3] == "1 of 2 views"


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_shows_the_jobs_while_they_run(
    pipeline: PipelineFixture, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    screen = StringIO()
    monkeypatch.setattr(output, "err", lambda: Console(file=screen, force_terminal=True, width=100))
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.01)
    pipeline.store.create("leases/busy.json", running("busy", 0.5, "KSampler").body())
    follower = Follower(pipeline.store, ["busy", "one"])
    looks: list[bool] = []

    def on_look() -> None:
        looks.append(follower.done)
        if len(looks) == 2:
            pipeline.store.delete("leases/busy.json")
            pipeline.store.create("jobs/busy/result.json", b"?")

    follow(follower, quiet=quiet, on_look=on_look)

    assert looks == [False, False, True]
    assert ("50% KSampler" in screen.getvalue()) is not quiet

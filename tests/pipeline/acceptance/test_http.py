import socket
from pathlib import Path

import pytest

from config.errors import InvalidInput
from pipeline.acceptance.http import FILE, Web
from pipeline.acceptance.jobs import Job, Stage
from tests.pipeline.acceptance.conftest import Reach
from tests.support.acceptances import SMALL
from tests.support.pipeline_fixture import PipelineFixture

JOB = Job("r-http-flux-dev", Stage.HTTP, "flux-dev", {"prompt": "a cat", **SMALL})


def test_health_is_timed_and_kept_as_it_was_answered(
    pipeline: PipelineFixture, reach: Reach
) -> None:
    seen = reach(pipeline).health(idle=True)

    assert seen.healthy
    assert (seen.idle, seen.status) == (True, 200)
    assert seen.seconds > 0
    assert "healthy" in seen.told


def test_where_nothing_answers_there_is_no_health() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with Web.at(f"http://127.0.0.1:{closed.getsockname()[1]}", None) as web:
            seen = web.health(idle=False)

    assert (seen.healthy, seen.status) == (False, None)
    assert "ConnectError" in seen.told


def test_a_later_start_of_the_run_keeps_the_first_answer(
    pipeline: PipelineFixture, reach: Reach, tmp_path: Path
) -> None:
    web = reach(pipeline)
    first = web.first_health(tmp_path / "out", idle=True)

    assert first.idle
    assert web.first_health(tmp_path / "out", idle=True) == first


def test_who_asked_before_nobody_can_tell_from_a_file_of_another_url(
    pipeline: PipelineFixture, reach: Reach, tmp_path: Path
) -> None:
    web = reach(pipeline)
    for observer in ("no JSON", web.first_health(tmp_path, idle=True).model_dump_json()):
        (tmp_path / FILE).write_text(observer.replace("127.0.0.1", "other"))
        assert not web.first_health(tmp_path, idle=True).idle


def test_a_job_is_made_and_its_picture_fetched(pipeline: PipelineFixture, reach: Reach) -> None:
    answer = reach(pipeline).make(JOB, Path(), within_s=30)

    assert (answer.kind, answer.status, answer.fault) == ("flux-dev", "succeeded", None)
    assert answer.id is not None
    assert pipeline.result(answer.id).status == "succeeded"


def test_the_same_key_is_the_same_job(pipeline: PipelineFixture, reach: Reach) -> None:
    web = reach(pipeline)
    first, again = (web.make(JOB, Path(), within_s=30) for _ in range(2))

    assert first.id == again.id
    assert len([key for key in pipeline.keys("jobs/") if key.endswith("result.json")]) == 1


def test_a_job_not_finished_in_time_is_told_with_its_id(
    holding: PipelineFixture, reach: Reach
) -> None:
    web = Web(reach(holding).client, wait_s=0)

    answer = web.make(JOB, Path(), within_s=0)

    assert (answer.status, answer.fault) == (None, "not finished in time")
    assert answer.id is not None


def test_a_refusal_is_told_in_the_servers_words(pipeline: PipelineFixture, reach: Reach) -> None:
    wrong = Job("k", Stage.HTTP, "flux-dev", {"prompt": "a cat", "width": 1})

    fault = reach(pipeline).make(wrong, Path(), within_s=30).fault or ""

    assert fault.startswith("422 invalid_field: width")


def test_a_key_that_is_not_a_url_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no http"), Web.at("example.modal.run", None):
        pass

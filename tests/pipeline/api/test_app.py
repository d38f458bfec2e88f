"""The app as a whole: who may ask, what browsers are told, what is never told."""

import json
import re

import pytest
import structlog
from structlog.testing import capture_logs

from pipeline.api.middleware import request_id
from pipeline.api.service import WRONG_KEYS
from tests.pipeline.conftest import MakePipeline
from tests.support.api_fixture import ApiFixture, bearer, keys

pytestmark = pytest.mark.anyio


async def test_without_keys_only_this_machine_may_ask(api: ApiFixture) -> None:
    for client in (api.client_from("203.0.113.7"), api.client_from("127.0.0.1", "http://evil")):
        answer = await client.get("/jobs")
        assert (answer.status_code, answer.json()["code"]) == (403, "loopback_only")


async def test_pages_of_other_sites_are_told_nothing(api: ApiFixture) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

    answer = await api.client.options("/flux-dev", headers=asked)

    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_listed_sites_may_ask_and_read_the_headers(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(cors_origins="https://app.example", api_keys=keys(acme="a"))
    async with ApiFixture(pipeline) as api:
        site = {"Origin": "https://app.example"}
        asked = {
            **site,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, idempotency-key, last-event-id",
        }
        may = await api.client.options("/flux-dev", headers=asked)
        answer = await api.post(**bearer("a"), **site)
        other = await api.client.get("/health", headers={"Origin": "https://evil.example"})

    assert may.status_code == 200
    assert may.headers["access-control-allow-origin"] == "https://app.example"
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "X-Cost-USD" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("given", ["abc-1", "a" * 64])
def test_a_sane_request_id_is_kept(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "a" * 65, "a b", "a\n", "ü", "-a"])
def test_any_other_is_replaced(given: str | None) -> None:
    assert re.fullmatch("[0-9a-f]{32}", request_id(given))


async def test_the_request_id_stands_in_answer_problem_and_log(api: ApiFixture) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        answer = await api.client.get("/jobs/nobody", headers={"X-Request-ID": "req-7"})

    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "req-7"
    (line,) = [each for each in logs if each["event"] == "request"]
    assert line["request_id"] == "req-7"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/jobs/{id}", 404)
    assert line["tenant"] == "default"


async def test_no_key_token_or_prompt_is_logged(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(api_keys=keys(acme="secret-key"), doorbell_token="secret-token")
    with capture_logs() as logs:
        async with ApiFixture(pipeline) as api:
            await api.post(json={"prompt": "secret-prompt", "promt": 1}, **bearer("secret-key"))
            await api.post(json={"prompt": "secret-prompt"}, **bearer("secret-key-2"))
            await api.client.post("/doorbell/secret-token")
            await api.client.get("/nowhere/secret-token")

    assert len(logs) >= 4
    assert "secret" not in json.dumps(logs, default=str)


async def test_what_is_asked_every_few_seconds_is_logged_only_when_it_goes_wrong(
    api: ApiFixture,
) -> None:
    with capture_logs() as logs:
        await api.client.get("/health")
        await api.client.get("/metrics?deep=1")

    assert [(line["log_level"], line["status"]) for line in logs] == [("debug", 200), ("info", 400)]


async def test_an_unknown_path_and_method_are_problems(api: ApiFixture) -> None:
    unknown = await api.client.get("/flux-dve")
    assert (unknown.status_code, unknown.json()["hint"]) == (404, "Did you mean /flux-dev?")
    slash = await api.client.get("/jobs/")
    assert slash.status_code == 404
    wrong = await api.client.get("/flux-dev")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["code"] == "wrong_method"
    wrong = await api.client.put("/jobs/nobody")
    assert wrong.headers["allow"] == "DELETE, GET, HEAD"


async def test_the_doorbell_and_the_metrics_are_there(make_pipeline: MakePipeline) -> None:
    async with ApiFixture(make_pipeline(doorbell_token="token")) as api:
        assert (await api.client.post("/doorbell/token")).status_code == 202
        assert api.changed_keys == [None]
        assert "ryla_jobs" in (await api.client.get("/metrics")).text


async def test_many_wrong_keys_are_braked_and_a_right_one_is_let_in(
    make_pipeline: MakePipeline,
) -> None:
    async with ApiFixture(make_pipeline(api_keys=keys(acme="a"))) as api:
        with capture_logs() as lines:
            answers = [
                await api.client.get("/jobs", headers=bearer(f"wrong-{n}"))
                for n in range(WRONG_KEYS + 20)
            ]
        right = await api.client.get("/jobs", headers=bearer("a"))
        elsewhere = await api.client_from("203.0.113.7").get("/jobs", headers=bearer("wrong"))

    assert [answer.status_code for answer in answers[:WRONG_KEYS]] == [401] * WRONG_KEYS
    assert {answer.status_code for answer in answers[WRONG_KEYS:]} == {429}
    assert int(answers[-1].headers["retry-after"]) > 0
    assert len([line for line in lines if line["log_level"] == "info"]) == WRONG_KEYS
    assert (right.status_code, elsewhere.status_code) == (200, 401)

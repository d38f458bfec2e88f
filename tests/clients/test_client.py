"""What both clients do with their network; what they decide is tested in test_core."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from ryla_client import AsyncClient, Client, ConnectionFailed, NotFound, Retries, RylaError
from ryla_client._config import LOCAL, server

Handler = Callable[[httpx.Request], httpx.Response]
Call = Callable[[Any], Any]
AT_ONCE = Retries(elapsed=60, first_pause=0, longest_pause=0)


class Ask(Protocol):
    def __call__(self, handler: Handler, call: Call, retries: Retries = AT_ONCE) -> Any: ...


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Calls one of the clients, over a transport that `handler` answers."""

    def blocking(handler: Handler, call: Call, retries: Retries = AT_ONCE) -> Any:
        transport = httpx.MockTransport(handler)
        with Client("http://ryla.test", "k1", retries=retries, transport=transport) as client:
            answer = call(client)
            return list(answer) if isinstance(answer, Iterator) else answer

    async def waiting(handler: Handler, call: Call, retries: Retries) -> Any:
        transport = httpx.MockTransport(handler)
        async with AsyncClient(
            "http://ryla.test", "k1", retries=retries, transport=transport
        ) as client:
            answer = call(client)
            if isinstance(answer, AsyncIterator):
                return [each async for each in answer]
            return await answer

    if request.param == "sync":
        return blocking
    return lambda handler, call, retries=AT_ONCE: asyncio.run(waiting(handler, call, retries))


def job(state: str, **more: Any) -> dict[str, Any]:
    return {"id": "j1", "state": state, **more}


DONE = job("finished", status="succeeded", result={"id": "j1", "status": "succeeded"})


def test_the_two_clients_have_the_same_methods() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        members = inspect.getmembers(client, inspect.isfunction)
        return {
            name: [f"{each}" for each in inspect.signature(member).parameters.values()]
            for name, member in members
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)


def test_the_key_goes_along_and_the_answer_becomes_a_job(ask: Ask) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json=job("running", progress={"fraction": 0.5, "step": "x"}))

    found = ask(answer, lambda client: client.job("j1"))

    assert (found.state, found.progress, found.step, found.finished) == ("running", 0.5, "x", False)
    assert seen[0].headers["Authorization"] == "Bearer k1"
    assert seen[0].url == "http://ryla.test/jobs/j1"


def test_a_connection_that_breaks_is_tried_again_under_the_same_key(ask: Ask) -> None:
    keys = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) < 3:
            raise httpx.ReadError("cut off", request=request)
        return httpx.Response(202, json=job("waiting"))

    ask(answer, lambda client: client.submit({"model": "flux-dev", "prompt": "a cat"}))

    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_each_submission_has_a_key_of_its_own(ask: Ask) -> None:
    keys = set()

    def answer(request: httpx.Request) -> httpx.Response:
        keys.add(request.headers["Idempotency-Key"])
        return httpx.Response(202, json=job("waiting"))

    for _ in range(2):
        ask(answer, lambda client: client.submit({"model": "flux-dev", "prompt": "a cat"}))

    assert len(keys) == 2


def test_a_server_that_is_away_is_named(ask: Ask) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(
        ConnectionFailed, match=r"http://ryla\.test: ConnectError: refused"
    ) as raised:
        ask(answer, lambda client: client.health(), Retries(elapsed=0))
    assert raised.value.hint == "Does the server run, and is the URL its own?"


def test_the_key_is_not_told_to_where_a_redirect_leads(ask: Ask) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "ryla.test":
            return httpx.Response(302, headers={"Location": "https://bucket.test/x?signature=s"})
        assert "Authorization" not in request.headers
        return httpx.Response(200, content=b"picture")

    assert ask(answer, lambda client: client.output("j1")) == b"picture"


def test_outputs_are_written_whole(ask: Ask, tmp_path: Path) -> None:
    outputs = [{"key": "jobs/j1/out/a1/image.png", "bytes": 7}]
    done = {**DONE, "result": {"id": "j1", "status": "succeeded", "outputs": outputs}}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/jobs/j1":
            return httpx.Response(200, json=done)
        return httpx.Response(200, content=b"picture")

    paths = ask(answer, lambda client: client.save("j1", tmp_path / "new" / "fox.png"))

    assert paths == [tmp_path / "new" / "fox.png"]
    assert paths[0].read_bytes() == b"picture"
    assert list(paths[0].parent.iterdir()) == paths


def event(number: int, document: Any) -> bytes:
    return f"id: {number}\nevent: job\ndata: {json.dumps(document)}\n\n".encode()


def test_progress_goes_on_from_the_last_event_after_a_connection_ended(ask: Ask) -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        match len(asked):
            case 1:
                body = b"retry: 0\n\n" + event(1, job("waiting")) + b"id: 2\ndata: {half"
                return httpx.Response(200, content=body)
            case 2:
                raise httpx.ReadError("cut off", request=request)
            case 3:
                return httpx.Response(503)
            case _:
                return httpx.Response(200, content=event(2, job("running")) + event(3, DONE))

    seen = ask(answer, lambda client: client.progress("j1"))

    assert [each.state for each in seen] == ["waiting", "running", "finished"]
    assert asked == [None, "1", "1", "1"]


def test_after_the_last_event_there_is_no_progress(ask: Ask) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Last-Event-ID"] == "3"
        return httpx.Response(204)

    assert ask(answer, lambda client: client.progress("j1", last_event_id="3")) == []


def test_progress_of_no_job_is_an_error(ask: Ask) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"detail": "no job j1", "code": "job_not_found"})

    with pytest.raises(NotFound) as raised:
        ask(answer, lambda client: client.progress("j1"))

    assert raised.value.code == "job_not_found"


def test_url_and_key_come_from_the_environment_unless_given() -> None:
    environ = {"RYLA_CLIENT_URL": "https://ryla.test/", "RYLA_CLIENT_KEY": "k2"}

    assert server(None, None, environ).url == "https://ryla.test"
    assert server(None, None, environ).headers()["Authorization"] == "Bearer k2"
    assert server("http://other.test", "k3", environ).key == "k3"
    assert (server(None, None, {}).url, server(None, None, {}).key) == (LOCAL, None)


@pytest.mark.parametrize("url", ["ryla.test", "ftp://ryla.test", "http://"])
def test_what_is_no_url_is_said_at_once(url: str) -> None:
    with pytest.raises(RylaError, match="no http"):
        Client(url)

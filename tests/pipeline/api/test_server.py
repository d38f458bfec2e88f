"""uvicorn around the app."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from threading import Event

import httpx
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from config.errors import InvalidSetting
from pipeline.api import server
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.server import SAME_LINES, IdleTimeoutProtocol, listen, served, url_of
from tests.pipeline.conftest import MakePipeline
from tests.support.api_fixture import QUICK, SMALL
from tests.support.pipeline_fixture import PipelineFixture


def test_a_taken_port_is_said_to_be_taken() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]

        with pytest.raises(InvalidSetting, match=f"port {port} of 127.0.0.1 is taken") as refused:
            listen("127.0.0.1", port)
    assert "--port" in (refused.value.hint or "")


def test_an_address_of_another_machine_is_said_to_be_wrong() -> None:
    with pytest.raises(InvalidSetting) as refused:
        listen("203.0.113.7", 0)
    assert refused.value.field == "RYLA_API_HOST"


def test_the_url_of_an_address_of_either_kind() -> None:
    for host, start in (("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")):
        with listen(host, 0) as listener:
            assert url_of(listener).startswith(start)


def test_it_answers_while_the_block_runs_and_lets_those_who_wait_go(
    pipeline: PipelineFixture,
) -> None:
    listener = listen("127.0.0.1", 0)
    url = url_of(listener)
    with ThreadPoolExecutor(1) as pool:
        with served(ApiDependencies(pipeline.runtime, pipeline.store, timeouts=QUICK), listener):
            with httpx.Client(base_url=url) as client:
                assert client.get("/health").json()["status"] == "healthy"
            headers = {"Prefer": "wait=60"}
            waiting = pool.submit(
                httpx.post, f"{url}/flux-dev", json=SMALL, headers=headers, timeout=30
            )
            while not pipeline.keys("inbox/"):
                time.sleep(0.01)

        assert waiting.result(timeout=10).status_code == 202
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_keys_that_cannot_be_read_stop_it_before_it_listens(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(api_keys="nonsense")

    with (
        listen("127.0.0.1", 0) as listener,
        pytest.raises(InvalidSetting),
        served(ApiDependencies(pipeline.runtime, pipeline.store), listener),
    ):
        pass


HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def address(
    pipeline: PipelineFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(IdleTimeoutProtocol, "patience_s", 0.1)
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with served(ApiDependencies(pipeline.runtime, pipeline.store, timeouts=QUICK), listener):
        yield "127.0.0.1", port


@pytest.mark.parametrize("said", [b"", HEALTH[:20], HEALTH + HEALTH[:20]])
def test_without_a_request_the_server_hangs_up(address: tuple[str, int], said: bytes) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(said)
        got = b""
        while part := connection.recv(4096):
            got += part

    assert got.startswith(b"HTTP/1.1 200") == said.startswith(HEALTH)


def test_while_it_answers_it_does_not(address: tuple[str, int]) -> None:
    headers = {"Content-Type": "application/json", "Prefer": "wait=1"}
    with closing(HTTPConnection(*address, timeout=10)) as connection:
        connection.request("POST", "/flux-dev", json.dumps(SMALL), headers)
        there = connection.sock
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:1]) == (202, b"{")

        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        assert connection.sock is there


def test_an_answer_that_is_not_taken_is_not_kept(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Event()

    def note(connection: IdleTimeoutProtocol, error: Exception | None) -> None:
        lost.set()
        H11Protocol.connection_lost(connection, error)

    monkeypatch.setattr(IdleTimeoutProtocol, "connection_lost", note)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(address)
        connection.sendall(HEALTH.replace(b"/health", b"/openapi.json") * 200)

        assert lost.wait(10)


def test_those_beyond_the_most_that_there_may_be_are_turned_away(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IdleTimeoutProtocol, "patience_s", 60)
    monkeypatch.setattr(server, "most_connections", lambda: 1)
    with socket.create_connection(address, timeout=10) as first:
        first.sendall(HEALTH)
        assert first.recv(4096)
        with socket.create_connection(address, timeout=10) as second:
            assert second.recv(1) == b""
        first.sendall(HEALTH)
        assert first.recv(4096)


def test_what_is_no_http_is_answered_as_a_problem_and_logged_a_few_times(
    address: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(SAME_LINES + 20):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
            with closing(HTTPResponse(connection)) as answer:
                answer.begin()
                told = json.loads(answer.read())
        assert (answer.status, told["code"]) == (400, "bad_request")
        assert answer.headers["content-type"] == "application/problem+json"

    said = capsys.readouterr().out.count("Invalid HTTP request received")
    assert SAME_LINES <= said <= 2 * SAME_LINES  # a minute may have begun meanwhile

"""uvicorn around the app."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from config.errors import InvalidSetting
from pipeline.api.dependencies import Ports
from pipeline.api.server import listen, served, url_of
from tests.pipeline.conftest import MakeYard
from tests.support.desk import QUICK, SMALL
from tests.support.yard import Yard


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


def test_it_answers_while_the_block_runs_and_lets_those_who_wait_go(yard: Yard) -> None:
    listener = listen("127.0.0.1", 0)
    url = url_of(listener)
    with ThreadPoolExecutor(1) as pool:
        with served(Ports(yard.bench, yard.store, pace=QUICK), listener):
            with httpx.Client(base_url=url) as client:
                assert client.get("/health").json()["status"] == "healthy"
            headers = {"Prefer": "wait=60"}
            waiting = pool.submit(
                httpx.post, f"{url}/flux-dev", json=SMALL, headers=headers, timeout=30
            )
            while not yard.keys("inbox/"):
                time.sleep(0.01)

        assert waiting.result(timeout=10).status_code == 202
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_keys_that_cannot_be_read_stop_it_before_it_listens(make_yard: MakeYard) -> None:
    yard = make_yard(api_keys="nonsense")

    with (
        listen("127.0.0.1", 0) as listener,
        pytest.raises(InvalidSetting),
        served(Ports(yard.bench, yard.store), listener),
    ):
        pass

import socket
from collections.abc import Iterator

import pytest

from config.settings import Settings
from tests.pipeline.cli.conftest import Ryla


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    yield port
    listener.close()


def test_serve_needs_a_bucket(bare_ryla: Ryla) -> None:
    answer = bare_ryla("serve", "--json")

    assert (answer.code, answer.error["field"]) == (1, "RYLA_BUCKET")


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_taken_port_is_said_before_anything_starts(
    bare_ryla: Ryla, taken: int, command: str
) -> None:
    environ = {"RYLA_BUCKET": "nowhere"} if command == "serve" else {}

    answer = bare_ryla(command, "--port", taken, "--json", **environ)

    assert answer.code == 1
    assert answer.error["message"] == f"port {taken} of 127.0.0.1 is taken"
    assert "--port" in answer.error["hint"]


def test_the_port_is_a_setting_too(bare_ryla: Ryla, taken: int) -> None:
    answer = bare_ryla("up", "--json", RYLA_API_PORT=str(taken))

    assert answer.error["field"] == "RYLA_API_PORT"
    assert Settings().api_port == 8787

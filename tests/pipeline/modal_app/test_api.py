import socket
from pathlib import Path

from starlette.testclient import TestClient

from config.settings import Settings
from pipeline.modal_app.api import make_asgi
from tests.support.stack import wait_until


class Weights:
    """The volume, which counts how often it was reloaded."""

    reloads = 0

    def reload(self) -> None:
        self.reloads += 1

    def commit(self) -> None:
        raise AssertionError("the API writes no weights")


def test_health_answers_whatever_the_bucket_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    environ = {
        "RYLA_BUCKET": "jobs",
        "RYLA_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "RYLA_ACCESS_KEY_ID": "key",
        "RYLA_SECRET_ACCESS_KEY": "secret",
        "RYLA_APP_VERSION": "1.0+abc",
        "RYLA_POSTHOG_API_KEY": "phc_tests",
    }
    with TestClient(make_asgi(Weights(), environ)) as client:
        answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["version"] == "1.0+abc"


def test_weights_that_came_since_are_seen_by_what_it_claims(
    bucket: Settings, tmp_path: Path
) -> None:
    weights, token = Weights(), "token-of-the-tests"
    given = {
        **bucket.environ(),
        "RYLA_MODELS_DIR": str(tmp_path),
        "RYLA_DOORBELL_TOKEN": token,
        "RYLA_POSTHOG_API_KEY": "phc_tests",
    }
    with TestClient(make_asgi(weights, given)) as client:
        assert client.post(f"/doorbell/{token}").status_code == 202
        assert wait_until(lambda: weights.reloads == 1)
        assert client.post(f"/doorbell/{token}").status_code == 202
    assert weights.reloads == 1, "not with every ring"

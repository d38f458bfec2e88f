import socket

from starlette.testclient import TestClient

from pipeline.deployed.api import make_asgi


def test_health_answers_whatever_the_bucket_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    environ = {
        "RYLA_BUCKET": "jobs",
        "RYLA_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "RYLA_ACCESS_KEY_ID": "key",
        "RYLA_SECRET_ACCESS_KEY": "secret",
        "RYLA_APP_VERSION": "1.0+abc",
    }
    with TestClient(make_asgi(environ)) as client:
        answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["version"] == "1.0+abc"

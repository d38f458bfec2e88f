"""Whatever a ring brings along, it means "look", and only the token lets it in."""

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from pipeline.api.dependencies import ApiDependencies, Timeouts
from pipeline.api.routes.doorbell import MAX_BODY, doorbell_router, entry_of
from pipeline.api.server import Server, listen, url_of
from pipeline.dispatcher.waker import DispatchThread
from pipeline.local.seaweed import SeaweedServer
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from tests.pipeline.conftest import MakePipeline
from tests.support.api import app_with, client_of
from tests.support.https_server import https_server
from tests.support.manifests import body
from tests.support.network import Network
from tests.support.pipeline_fixture import PipelineFixture
from tests.support.seaweed import fresh_bucket
from tests.support.stack import wait_until

TOKEN = "jWm1Zr2UUw0YzP5bXqk3"
PATH = f"/doorbell/{TOKEN}"
SNS = "sns.eu-central-1.amazonaws.com"
CONFIRM = f"https://{SNS}/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:x&Token=2336412f37"
BODIES: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[3] / "recordings" / "notifications.json").read_text()
)


@pytest.fixture
def rings() -> list[str | None]:
    return []


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> PipelineFixture:
    return make_pipeline(holding=True, doorbell_token=TOKEN)


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def client(pipeline: PipelineFixture, rings: list[str | None], network: Network) -> TestClient:
    dependencies = ApiDependencies(pipeline.runtime, pipeline.store, notify=rings.append)
    return client_of(dependencies, doorbell_router(dependencies, network.web()))


def test_a_ring_is_taken_and_heard(client: TestClient, rings: list[str | None]) -> None:
    reply = client.post(PATH)
    assert (reply.status_code, reply.content) == (202, b"")
    assert rings == [None]


@pytest.mark.parametrize("source", BODIES)
def test_the_message_of_any_source_means_the_same(
    client: TestClient, rings: list[str | None], source: str
) -> None:
    assert client.post(PATH, content=json.dumps(BODIES[source])).status_code == 202
    assert rings == [None]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"inbox/one.json", b"[" * 5000])
def test_nothing_in_a_body_is_understood_so_nothing_can_be_wrong(
    client: TestClient, rings: list[str | None], content: bytes
) -> None:
    assert client.post(PATH, content=content).status_code == 202
    assert rings == [None]


def test_a_body_ends_somewhere(client: TestClient, rings: list[str | None]) -> None:
    assert client.post(PATH, content=b"x" * MAX_BODY).status_code == 202
    reply = client.post(PATH, content=b"x" * (MAX_BODY + 1))
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert "picture" not in reply.json()["hint"]
    assert rings == [None]


def test_a_body_that_drips_is_left_when_the_time_is_over(
    pipeline: PipelineFixture, rings: list[str | None]
) -> None:
    timeouts = Timeouts(body=0.1)
    dependencies = ApiDependencies(
        pipeline.runtime, pipeline.store, notify=rings.append, timeouts=timeouts
    )
    listener = listen("127.0.0.1", 0)
    server = Server(app_with(dependencies, doorbell_router(dependencies)))
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        with socket.create_connection(listener.getsockname()) as sock:
            head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"
            sock.sendall(head.encode())
            assert sock.recv(4096).startswith(b"HTTP/1.1 408 ")
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
    assert rings == []


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("token", ["wrong", TOKEN[:-1], TOKEN + "x", "%C3%A4", "%00", "%ED%A0%80"])
def test_another_token_finds_nothing(
    client: TestClient, rings: list[str | None], method: str, token: str
) -> None:
    assert client.request(method, f"/doorbell/{token}").status_code == 404
    assert rings == []


def test_without_a_token_there_is_no_doorbell(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    dependencies = ApiDependencies(pipeline.runtime, pipeline.store)
    client = client_of(dependencies, doorbell_router(dependencies))
    assert client.post("/doorbell/").status_code == 404
    assert client.post("/doorbell/None").status_code == 404


def test_minio_sees_that_somebody_lives_here(client: TestClient, rings: list[str | None]) -> None:
    assert client.head(PATH).status_code == 200
    assert rings == []
    assert client.get(PATH).status_code == 405


def test_the_handshake_of_cloudevents_is_returned(client: TestClient) -> None:
    plain = client.options(PATH)
    assert plain.headers["Allow"] == "POST, HEAD, OPTIONS"
    asked = client.options(PATH, headers={"WebHook-Request-Origin": "events.example.com"})
    assert asked.status_code == 200
    assert asked.headers["WebHook-Allowed-Origin"] == "*"


@pytest.mark.parametrize(
    ("id", "key"),
    [
        ("one", "inbox/one.json"),
        ("4.acme.flux-dev.one", "inbox/4.acme.flux-dev.one.json"),
        ("inbox/4.acme.flux-dev.one.json", "inbox/4.acme.flux-dev.one.json"),
        ("No Id", None),
        ("", None),
        ("../leases/one", None),
        (None, None),
    ],
)
def test_our_own_callers_may_say_where_to_look(
    client: TestClient, rings: list[str | None], id: str | None, key: str | None
) -> None:
    assert entry_of(id) == key
    assert client.post(PATH, params={} if id is None else {"id": id}).status_code == 202
    assert rings == [key]


def test_too_many_rings_are_turned_away_and_wrong_ones_do_not_count(
    pipeline: PipelineFixture, rings: list[str | None]
) -> None:
    dependencies = ApiDependencies(pipeline.runtime, pipeline.store, notify=rings.append)
    client = client_of(dependencies, doorbell_router(dependencies, per_minute=3))
    statuses = [client.post(path).status_code for path in ("/doorbell/wrong", PATH, PATH, PATH)]
    assert statuses == [404, 202, 202, 202]
    reply = client.post(PATH)
    assert (reply.status_code, reply.json()["code"]) == (429, "too_many_requests")
    assert int(reply.headers["Retry-After"]) >= 1
    assert len(rings) == 3


# Amazon SNS


def confirmation(url: object) -> dict[str, Any]:
    return {
        "Type": "SubscriptionConfirmation",
        "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
        "Token": "2336412f37",
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:ryla-inbox",
        "Message": "You have chosen to subscribe to the topic.",
        "SubscribeURL": url,
        "Timestamp": "2026-11-23T12:00:00.000Z",
        "SignatureVersion": "1",
    }


def ask(client: TestClient, message: object) -> Any:
    headers = {
        "x-amz-sns-message-type": "SubscriptionConfirmation",
        "Content-Type": "text/plain; charset=UTF-8",
    }
    content = message if isinstance(message, bytes) else json.dumps(message)
    return client.post(PATH, content=content, headers=headers)


@pytest.mark.parametrize(("status", "answered"), [(200, 202), (400, 503), (302, 503)])
def test_a_subscription_is_confirmed_by_fetching_snss_own_url(
    pipeline: PipelineFixture, rings: list[str | None], tmp_path: Path, status: int, answered: int
) -> None:
    said = f"HTTP/1.1 {status} x\r\nLocation: https://{SNS}/\r\nContent-Length: 0\r\n\r\n"
    with https_server(tmp_path, [SNS], lambda _, sock: sock.sendall(said.encode())) as server:
        dependencies = ApiDependencies(pipeline.runtime, pipeline.store, notify=rings.append)
        web = Network(server.port).web(server)
        reply = ask(
            client_of(dependencies, doorbell_router(dependencies, web)), confirmation(CONFIRM)
        )
    assert reply.status_code == answered
    assert [head.split("\r\n")[0] for head in server.requests] == [
        f"GET {CONFIRM.removeprefix('https://' + SNS)} HTTP/1.1"
    ]
    assert rings == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://{SNS}/?Action=ConfirmSubscription",
        f"https://{SNS}/?Action=DeleteTopic",
        f"https://{SNS}/?Action=ConfirmSubscription&Action=DeleteTopic",
        f"https://{SNS}:8443/?Action=ConfirmSubscription",
        f"https://{SNS}.evil.org/?Action=ConfirmSubscription",
        f"https://{SNS}@evil.org/?Action=ConfirmSubscription",
        "https://evil.org/?Action=ConfirmSubscription",
        "https://sns.amazonaws.com.evil.org/?Action=ConfirmSubscription",
        "https://xsns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.a.b.amazonaws.com/?Action=ConfirmSubscription",
        "https://bucket.s3.amazonaws.com/?Action=ConfirmSubscription",
        "https://169.254.169.254/?Action=ConfirmSubscription",
        "file:///etc/passwd",
        7,
        None,
    ],
)
def test_no_other_url_is_fetched(client: TestClient, network: Network, url: object) -> None:
    reply = ask(client, confirmation(url))
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")
    assert network == Network()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"{}"])
def test_what_is_no_confirmation_is_refused(
    client: TestClient, network: Network, content: bytes
) -> None:
    assert ask(client, content).status_code == 400
    assert network == Network()


def test_an_sns_host_that_leads_inside_is_not_connected_to(
    client: TestClient, network: Network
) -> None:
    network.names[SNS] = ["169.254.169.254"]
    assert ask(client, confirmation(CONFIRM)).status_code == 503
    assert network.connected == []


@pytest.mark.parametrize("region", ["us-east-1.amazonaws.com", "cn-north-1.amazonaws.com.cn"])
def test_sns_lives_in_every_region(client: TestClient, network: Network, region: str) -> None:
    ask(client, confirmation(f"https://sns.{region}/?Action=ConfirmSubscription&Token=2"))
    assert network.resolved == [f"sns.{region}"]


# A store that notifies


@pytest.fixture
def notifying(tmp_path: Path) -> Iterator[tuple[SeaweedServer, Any]]:
    """A real store that tells a real server of each object it gets."""
    listener = listen("127.0.0.1", 0)
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "notification.toml").write_text(
        "[notification.webhook]\nenabled = true\nbackoff_seconds = 1\n"
        f'endpoint = "{url_of(listener)}{PATH}"\nevent_types = ["create"]\n'
    )
    server = SeaweedServer(folder)
    with listener:
        server.start()
        try:
            yield server, listener
        finally:
            server.kill()


def test_a_store_that_notifies_starts_a_job_and_tells_of_its_end(
    notifying: tuple[SeaweedServer, Any], make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    seaweed, listener = notifying
    settings = fresh_bucket(seaweed, tmp_path)
    raw = open_store(settings).raw
    pipeline = make_pipeline(raw=raw, doorbell_token=TOKEN)
    dispatch_thread = DispatchThread(pipeline.dispatcher)
    dependencies = ApiDependencies(pipeline.runtime, SafeStore(raw), notify=dispatch_thread.notify)
    app = app_with(dependencies, doorbell_router(dependencies))
    told: list[str] = []

    @app.middleware("http")
    async def keep(request: Request, answer: Any) -> Any:
        told.append(json.loads(await request.body())["key"])
        return await answer(request)

    server = Server(app)
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        dependencies.store.create("inbox/one.json", body())
        assert wait_until(lambda: any(key.endswith("/jobs/one/result.json") for key in told))
        assert pipeline.result("one").outputs
    finally:
        server.should_exit = True
        thread.join()
        dispatch_thread.close()

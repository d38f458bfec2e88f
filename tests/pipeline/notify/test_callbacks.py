"""What a callback says, how it is signed, and what becomes of one that does not arrive."""

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import BadManifest
from config.settings import Settings, webhook_key
from events.sender import EVENTS
from events.sink import MemorySink, NotDelivered
from events.stored_event import StoredEvent
from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Phase
from pipeline.contract.result import Result, Status
from pipeline.dispatcher.tick import tick
from pipeline.jobs.cancel import Canceller
from pipeline.notify.callbacks import (
    Caller,
    payload,
    reporting,
    require_callback,
    signature,
    target_of,
)
from pipeline.notify.delivery import pending_targets
from pipeline.store.base import Always
from pipeline.store.conditional import Won
from tests.pipeline.conftest import MakePipeline
from tests.support.https_server import HttpsServer, https_server
from tests.support.instant_comfyui import InstantEngine
from tests.support.jobs import BODY, NOW, a_lease, a_result
from tests.support.manifests import body
from tests.support.network import Network
from tests.support.pipeline_fixture import PipelineFixture

HOST = "backend.example.com"
URL = f"https://{HOST}/told?for=ryla"
KEY = b"a secret of thirty-two bytes, or"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SET: dict[str, Any] = {"callback_hosts": HOST, "callback_secret": SECRET}


def reply(status: int, *headers: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} x", "Content-Length: 0", *headers, "", "")).encode()


OK = reply(204)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HttpsServer, list[bytes]]]:
    answers: list[bytes] = []

    def answer(head: str, sock: socket.socket) -> None:
        sock.sendall(answers[0] if answers else OK)

    with https_server(tmp_path_factory.mktemp("https"), [HOST], answer) as server:
        yield server, answers


@dataclass
class Backend:
    server: HttpsServer
    network: Network
    _answers: list[bytes]

    def answer(self, what: bytes) -> None:
        self._answers[:] = [what]

    def headers(self, number: int = -1) -> dict[str, str]:
        lines = self.server.requests[number].strip().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.server.bodies]


@pytest.fixture
def backend(site: tuple[HttpsServer, list[bytes]]) -> Backend:
    server, answers = site
    answers.clear()
    server.requests.clear()
    server.bodies.clear()
    return Backend(server, Network(server.port), answers)


@pytest.fixture
def calling(make_pipeline: MakePipeline, backend: Backend) -> PipelineFixture:
    return make_pipeline(web=backend.network.web(backend.server), event_tries=3, **SET)


def caller(backend: Backend, **changes: Any) -> Caller:
    settings = Settings.model_validate({**SET, "callback_timeout_seconds": 5, **changes})
    return Caller(settings, lambda: NOW, backend.network.web(backend.server))


def ended(**fields: Any) -> Result:
    return a_result(callback_url=URL, **fields)


# What is sent


def test_it_is_signed_as_standard_webhooks_says(backend: Backend) -> None:
    caller(backend).call(ended())

    headers, [sent] = backend.headers(), backend.server.bodies
    signed = f"job.{int(NOW.timestamp())}.".encode() + sent
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert backend.server.requests[0].startswith("POST /told?for=ryla HTTP/1.1\r\n")
    assert headers["webhook-id"] == "job"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["content-type"] == "application/json"


def test_the_example_of_the_specification_has_its_signature() -> None:
    """https://github.com/standard-webhooks/standard-webhooks: the vector of its libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    given = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert given == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(("secret", "key"), [(SECRET, KEY), ("plain words", b"plain words")])
def test_a_secret_may_be_encoded_or_plain(secret: str, key: bytes) -> None:
    assert webhook_key(Settings.model_validate({"callback_secret": secret})) == key


@pytest.mark.parametrize("secret", ["whsec_", "whsec_ä", "whsec_abc"])
def test_a_secret_that_only_looks_encoded_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        Settings.model_validate({"callback_secret": secret})


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.FORGOTTEN])
def test_it_tells_how_the_job_ended(
    calling: PipelineFixture, backend: Backend, status: Status
) -> None:
    wish: dict[str, Any] = {"callback_url": URL, "metadata": {"order": 7}, "tenant": "acme"}
    if status is Status.CANCELLED:
        calling.submit("one", body(**wish))
        Canceller(calling.store, calling.runtime, calling.sink, "cli").cancel("one")
    elif status is Status.REJECTED:
        calling.submit("one", body(input={"steps": 0}, **wish))
    elif status is Status.FAILED:
        calling.submit("one", body(deadline="2020-01-01T00:00:00Z", **wish))
    else:
        calling.submit("one", body(**wish))
    calling.tick()
    calling.deliver()

    result = calling.result("one")
    [told] = backend.told
    data = told["data"]
    assert (told["type"], told["timestamp"]) == (f"job.{status}", result.finished_at.isoformat())
    assert (data["id"], data["status"], data["model"]) == ("one", status, "flux-dev")
    assert (data["tenant"], data["metadata"]) == ("acme", {"order": 7})
    assert data["result"] == "jobs/one/result.json"
    assert data["outputs"] == [output.key for output in result.outputs]
    assert bool(data["outputs"]) == (status is Status.SUCCEEDED)
    assert result.cost is not None
    assert data["cost_usd"] == result.cost.total_usd
    assert (data["error"] or {}).get("code") == (result.error.code if result.error else None)
    assert not calling.keys("leases/")


def test_a_result_that_is_read_back_gives_the_same_bytes() -> None:
    result = ended(metadata={"price": 0.1, "words": "ä\u2028", "many": [1e22, None, True]})
    again = Result.parse(result.body())
    assert again is not None
    assert payload(again) == payload(result)


def test_a_job_without_callback_url_opens_no_connection(
    calling: PipelineFixture, backend: Backend
) -> None:
    calling.submit("one")
    calling.tick()
    assert backend.network == Network(backend.server.port)
    assert not calling.keys("leases/")


def test_a_job_cancelled_while_it_waited_is_told_of_once(
    calling: PipelineFixture, backend: Backend
) -> None:
    calling.submit(
        "one", body(callback_url=URL, tenant="acme"), key="inbox/4.acme.flux-dev.one.json"
    )
    done = Canceller(calling.store, calling.runtime, calling.sink, "cli").cancel("one")
    assert not done.delivered
    assert not backend.told

    for _ in range(3):
        calling.tick()
        calling.pass_time(1000)

    assert [each["type"] for each in backend.told] == ["job.cancelled"]
    assert not calling.keys("inbox/")
    assert not calling.keys("leases/")


# What is not sent


@pytest.mark.parametrize(
    ("settings", "url", "code", "hint"),
    [
        ({"callback_hosts": HOST}, URL, "not_available", "RYLA_CALLBACK_SECRET"),
        ({"callback_secret": "s"}, URL, "invalid_field", "RYLA_CALLBACK_HOSTS"),
        (SET, "https://evil.example.com/", "invalid_field", "RYLA_CALLBACK_HOSTS"),
        (SET, f"https://sub.{HOST}/", "invalid_field", "RYLA_CALLBACK_HOSTS"),
        (SET, f"https://{HOST}@evil.example.com/", "invalid_field", ""),
        (SET, f"http://{HOST}/", "invalid_field", ""),
    ],
)
def test_a_url_that_may_not_be_called_is_refused_before_a_gpu_starts(
    make_pipeline: MakePipeline, settings: dict[str, Any], url: str, code: str, hint: str
) -> None:
    network = Network()
    pipeline = make_pipeline(holding=True, web=network.web(), **settings)
    pipeline.submit("one", body(callback_url=url))
    pipeline.tick()

    result = pipeline.result("one")
    assert result.status is Status.REJECTED
    assert result.error is not None
    assert (result.error.code, result.error.field) == (code, "callback_url")
    assert hint in (result.error.hint or "")
    assert result.callback_url is None
    assert not pipeline.held.payloads
    assert not pipeline.keys("leases/")
    assert network == Network()


def test_a_host_is_allowed_in_any_case() -> None:
    require_callback(f"https://{HOST.upper()}/a", Settings.model_validate(SET))
    require_callback(None, Settings())
    with pytest.raises(BadManifest):
        require_callback(URL, Settings())


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"callback_url": 7}', b'{"metadata": {"a": 1e999}}']
)
def test_a_manifest_that_says_nothing_of_it_has_no_callback(text: bytes) -> None:
    told = reporting(text, Settings.model_validate(SET))
    assert (told.callback_url, told.metadata) == (None, {})


def test_metadata_that_is_too_large_is_not_repeated() -> None:
    text = json.dumps({"callback_url": URL, "metadata": {"a": "x" * 20_000}}).encode()
    told = reporting(text, Settings.model_validate(SET))
    assert (told.callback_url, told.metadata) == (URL, {})


# What does not arrive


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(500), "500"),
        (reply(404), "404"),
        (reply(302, "Location: https://127.0.0.1/"), "302"),
        (reply(302, f"Location: https://{HOST}/elsewhere"), "302"),
        (b"", "closed"),
        (b"not http\r\n\r\n", "not http"),
    ],
)
def test_any_answer_but_2xx_is_a_failure_and_no_redirect_is_followed(
    backend: Backend, answer: bytes, said: str
) -> None:
    backend.answer(answer)
    with pytest.raises(NotDelivered, match=said) as caught:
        caller(backend).call(ended())
    assert caught.value.tried
    assert len(backend.network.connected) == 1


def test_who_answers_gone_is_not_called_again(backend: Backend) -> None:
    backend.answer(reply(410))
    caller(backend).call(ended())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 30", 30.0),
        ("Retry-After: Thu, 01 Jan 2026 12:01:00 GMT", 60.0),
        ("Retry-After: soon", None),
        ("X-Other: 1", None),
    ],
)
def test_who_asks_for_a_pause_gets_it(backend: Backend, header: str, seconds: float | None) -> None:
    backend.answer(reply(503, header))
    with pytest.raises(NotDelivered) as caught:
        caller(backend).call(ended())
    assert caught.value.retry_after_s == seconds


def test_an_answer_is_not_read_beyond_its_head(backend: Backend) -> None:
    backend.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx")
    began = time.monotonic()
    caller(backend, callback_timeout_seconds=30).call(ended())
    assert time.monotonic() - began < 15


def test_who_does_not_answer_is_left_when_the_time_is_over(tmp_path: Path) -> None:
    def hang(head: str, sock: socket.socket) -> None:
        sock.recv(1)

    with https_server(tmp_path, [HOST], hang) as server:
        backend = Backend(server, Network(server.port), [])
        with pytest.raises(NotDelivered, match=r"within 0\.2 s"):
            caller(backend, callback_timeout_seconds=0.2).call(ended())


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
def test_a_host_that_leads_inside_is_not_connected_to(backend: Backend, address: str) -> None:
    backend.network.names[HOST] = [address]
    with pytest.raises(NotDelivered, match="public internet"):
        caller(backend).call(ended())
    assert backend.network.connected == []


@pytest.mark.parametrize("gone", ["callback_hosts", "callback_secret"])
def test_settings_that_no_longer_allow_it_open_no_connection(backend: Backend, gone: str) -> None:
    strict = Caller(
        Settings.model_validate({name: it for name, it in SET.items() if name != gone}),
        lambda: NOW,
        backend.network.web(backend.server),
    )
    with pytest.raises(NotDelivered):
        strict.call(ended())
    assert backend.network.resolved == []


def test_failures_are_counted_by_host() -> None:
    assert target_of(ended()) == HOST
    assert target_of(a_result()) == "callback"


# Events and callback, each on its own


class FlakySink(MemorySink):
    down = False
    calls = 0

    def deliver(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        self.calls += 1
        if self.down:
            raise NotDelivered("down", retry_after_s=60)
        return super().deliver(events)


@pytest.fixture
def sink() -> FlakySink:
    return FlakySink()


@pytest.fixture
def flaky(make_pipeline: MakePipeline, backend: Backend, sink: FlakySink) -> PipelineFixture:
    web = backend.network.web(backend.server)
    return make_pipeline(web=web, sink=sink, event_tries=3, **SET)


def replay(pipeline: PipelineFixture) -> None:
    pipeline.pass_time(4000)
    time.sleep(0.06)  # the sender's own pause
    pipeline.tick()


def test_a_callback_that_fails_is_owed_and_the_events_are_not_sent_again(
    flaky: PipelineFixture, backend: Backend, sink: FlakySink
) -> None:
    backend.answer(reply(500))
    flaky.submit("one", body(callback_url=URL))
    flaky.tick()

    lease = flaky.lease("one")
    assert flaky.result("one").status is Status.SUCCEEDED
    assert (lease.phase, lease.committed) == (Phase.RETRY, True)
    assert (lease.events_out, lease.callback_out) == (True, False)
    assert pending_targets(lease) == [f"callback:{HOST}"]
    sent = sink.calls

    backend.answer(OK)
    replay(flaky)
    assert not flaky.keys("leases/")
    assert sink.calls == sent
    assert len(backend.told) == 2
    assert backend.server.bodies[0] == backend.server.bodies[1]
    assert backend.headers(0)["webhook-id"] == backend.headers(1)["webhook-id"] == "one"
    assert backend.headers(0)["webhook-timestamp"] < backend.headers(1)["webhook-timestamp"]
    assert isinstance(flaky.engine, InstantEngine)
    assert len(flaky.engine.endings) == 1


def test_events_that_fail_are_owed_and_the_callback_is_not_made_again(
    flaky: PipelineFixture, backend: Backend, sink: FlakySink
) -> None:
    sink.down = True
    flaky.submit("one", body(callback_url=URL))
    flaky.tick()
    lease = flaky.lease("one")
    assert (lease.events_out, lease.callback_out) == (False, True)
    assert pending_targets(lease) == [EVENTS]

    replay(flaky)
    sink.down = False
    replay(flaky)
    assert not flaky.keys("leases/")
    assert len(sink.events) == 2
    assert len(backend.told) == 1


def test_a_callback_is_given_up_after_so_many_tries_and_stands_in_the_result(
    flaky: PipelineFixture, backend: Backend
) -> None:
    backend.answer(reply(500))
    flaky.submit("one", body(callback_url=URL))
    flaky.tick()
    replay(flaky)
    assert flaky.keys("leases/")
    replay(flaky)
    assert not flaky.keys("leases/")
    assert len(backend.told) == 3
    assert flaky.result("one").callback_url == URL


def test_each_has_tries_of_its_own(
    make_pipeline: MakePipeline, backend: Backend, sink: FlakySink
) -> None:
    web = backend.network.web(backend.server)
    pipeline = make_pipeline(web=web, sink=sink, event_tries=3, turned=True, **SET)
    backend.answer(reply(500))
    sink.down = True
    pipeline.submit("another")  # PostHog pauses from here on
    pipeline.tick()
    lease = a_lease(phase=Phase.SPAWNED, committed=True, callback_tries=2, delivery_tries=1)
    outcome = pipeline.store.create(lease_key("job"), lease.body())
    assert isinstance(outcome, Won)
    with capture_logs() as logs:
        pipeline.delivery.deliver(ended(), lease, outcome.etag)
        pipeline.deliver()
    (line,) = [line for line in logs if line["event"].endswith("_given_up")]
    assert (line["event"], line["tries"], line["status"]) == ("callback_given_up", 3, 500)
    lease = pipeline.lease("job")
    assert (lease.callback_out, lease.events_out, lease.delivery_tries) == (True, False, 1)
    assert pending_targets(lease) == [EVENTS]


def test_a_callback_does_not_wait_for_posthog(
    make_pipeline: MakePipeline, backend: Backend, sink: FlakySink
) -> None:
    web = backend.network.web(backend.server)
    pipeline = make_pipeline(web=web, sink=sink, turned=True, **SET)
    backend.answer(reply(500))
    sink.down = True
    pipeline.submit("one", body(callback_url=URL))
    pipeline.tick()
    backend.answer(OK)
    calls = sink.calls
    pipeline.pass_time(26)  # its pause is over, PostHog's is not
    pipeline.tick()
    lease = pipeline.lease("one")
    assert (lease.callback_out, lease.events_out) == (True, False)
    assert len(backend.told) == 2
    assert sink.calls == calls
    pipeline.pass_time(26)
    report = pipeline.tick()
    assert (report.reads, report.taken_over) == (1, 0), "now it waits for PostHog alone"


def test_a_cancelled_jobs_lease_says_where_its_callback_goes(
    make_pipeline: MakePipeline, backend: Backend
) -> None:
    pipeline = make_pipeline(holding=True, web=backend.network.web(backend.server), **SET)
    pipeline.submit("one", body(callback_url=URL))
    pipeline.tick()
    Canceller(pipeline.store, pipeline.runtime, pipeline.sink, "cli").cancel("one")
    assert pipeline.lease("one").callback_host == HOST


def test_a_refusals_callback_is_owed_like_any_other(
    flaky: PipelineFixture, backend: Backend
) -> None:
    backend.answer(reply(500))
    flaky.submit("bad", body(callback_url=URL, input={"steps": 0}))
    flaky.tick()
    assert flaky.lease("bad").committed
    backend.answer(OK)
    replay(flaky)
    assert [each["type"] for each in backend.told] == ["job.rejected"] * 2
    assert not flaky.keys("leases/")


def test_a_worker_that_died_after_its_commit_leaves_the_callback_to_a_dispatcher(
    flaky: PipelineFixture, backend: Backend, sink: FlakySink
) -> None:
    running = a_lease(phase=Phase.RUNNING, ttl_s=60.0, submitted_at=flaky.now)
    flaky.raw.put("jobs/job/manifest.json", BODY, Always())
    flaky.raw.put("jobs/job/result.json", ended().body(), Always())
    flaky.raw.put("leases/job.json", running.body(), Always())
    flaky.tick()
    assert not backend.told

    flaky.pass_time(61)
    flaky.tick()
    assert [each["data"]["id"] for each in backend.told] == ["job"]
    assert not flaky.keys("leases/")


def test_a_job_put_again_after_its_end_is_not_told_of_again(
    flaky: PipelineFixture, backend: Backend
) -> None:
    for _ in range(2):
        flaky.submit("one", body(callback_url=URL))
        flaky.tick()
    assert len(backend.told) == 1
    assert not flaky.keys("inbox/")


def test_a_receiver_that_hangs_slows_no_job_and_no_tick(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    def hang(head: str, sock: socket.socket) -> None:
        sock.recv(1)

    with https_server(tmp_path, [HOST], hang) as server:
        web = Network(server.port).web(server)
        pipeline = make_pipeline(web=web, callback_timeout_seconds=0.3, event_tries=9, **SET)
        for number in range(50):
            pipeline.submit(f"job-{number:02}", body(callback_url=URL))
        began = time.monotonic()
        while pipeline.keys("inbox/") and time.monotonic() - began < 5:
            tick(pipeline.dispatcher)
        assert not pipeline.keys("inbox/")
        assert {pipeline.result(f"job-{n:02}").status for n in range(50)} == {Status.SUCCEEDED}
        pipeline.deliver()
        leases = [pipeline.lease(f"job-{number:02}") for number in range(50)]
        assert {lease.phase for lease in leases} == {Phase.RETRY}
        assert all(lease.committed and lease.events_out for lease in leases)

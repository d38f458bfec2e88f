"""`ryla serve` as a process of its own over a real store, asked by all who ask it: the Python
client, curl and bare sockets. Dispatcher and worker run here."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from shutil import which
from threading import Thread

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from config.settings import Settings
from pipeline.local.seaweed import SeaweedServer
from pipeline.store.conditional import SafeStore, listed
from ryla_client import Client, NotFound
from ryla_client.requests import FluxSchnell
from tests.clients.conftest import OneWorker, pipeline
from tests.support.api_fixture import SMALL, bearer, keys
from tests.support.commands import next_document, start_ryla
from tests.support.seaweed import fresh_bucket

pytestmark = pytest.mark.xdist_group("api-process")

TENANTS = {name: f"ryla_the-key-of-{name}" for name in ("acme", "zeta", "hasty", "crowd")}
TOKEN = "the-doorbell-s-token"
A_CAT: FluxSchnell = {"model": "flux-schnell", "prompt": "a cat", "width": 256, "height": 256}
PER_MINUTE = 250
JOBS = 30


@dataclass
class Served:
    """The process, which can be replaced by a new one over the same bucket."""

    settings: Settings
    store: SafeStore
    worker: OneWorker
    logs: list[str] = field(default_factory=list)
    url: str = ""
    process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.url.rpartition(":")[2])

    def start(self) -> None:
        environ = self.settings.environ()
        process = start_ryla(
            *("serve", "--port", "0", "--json"), cwd=self.settings.state_dir, environ=environ
        )
        self.url = next_document(process)["url"]
        Thread(target=lambda: self.logs.extend(process.stderr or ()), daemon=True).start()
        self.process = process

    def stop(self) -> int:
        """As an orchestrator does."""
        process = self.process
        assert process is not None
        assert process.stdout is not None
        with process:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            finally:
                process.kill()
        return process.returncode

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The worker takes nothing meanwhile."""
        self.worker.free.clear()
        try:
            yield
        finally:
            self.worker.free.set()

    def ask(self, tenant: str = "acme") -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=bearer(TENANTS[tenant]), timeout=30)

    def jobs(self) -> set[str]:
        """Ids that were ever taken in."""
        found = (entry.key.split("/") for entry in listed(self.store, "jobs/"))
        return {parts[1] for parts in found if parts[2] == "manifest.json"}


@pytest.fixture(scope="module")
def server(seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    settings = fresh_bucket(
        seaweed,
        folder,
        api_keys=SecretStr(keys(**TENANTS)),
        api_requests_per_minute=PER_MINUTE,
        api_jobs_per_tenant=JOBS,
        api_body_mib=1,
        doorbell_token=SecretStr(TOKEN),
        poll_active_seconds=0.1,
        poll_idle_seconds=0.1,
        log_format="json",
    )
    with ExitStack() as parts:
        dependencies, worker = parts.enter_context(pipeline(settings, folder))
        made = Served(settings, dependencies.store, worker)
        made.start()
        yield made
        made.worker.free.set()
        made.stop()


def rest_of(connection: socket.socket) -> str:
    """All that comes until the server hangs up."""
    connection.settimeout(20)
    got = b""
    with suppress(ConnectionResetError):  # as it does where it was sent more than it reads
        while part := connection.recv(65_536):
            got += part
    return got.decode("latin-1")


def request(server: Served, start: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{start} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"Authorization: Bearer {TENANTS['acme']}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def test_the_python_client(server: Served, tmp_path: Path) -> None:
    with Client(server.url, TENANTS["acme"]) as ryla:
        job = ryla.generate({**A_CAT, "seed": 0})
        (path,) = ryla.save(job, tmp_path / "cat.png")
        with Image.open(path) as picture:
            assert picture.size == (256, 256)
        assert job.result["seed"] == 0

        with server.busy():
            held = ryla.submit(A_CAT)
            seen = ryla.progress(held)
            assert not next(seen).finished
            assert ryla.cancel(held).status == "cancelled"
        *_, last = seen
        assert last.status == "cancelled"


@pytest.mark.skipif(which("curl") is None, reason="curl is not installed")
def test_curl_as_an_old_client_gets_the_picture_and_its_headers(
    server: Served, tmp_path: Path
) -> None:
    file = tmp_path / "cat.png"

    told = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"),
            *("--dump-header", "-", "--output", str(file), "--json", json.dumps(SMALL)),
            *("--header", "Accept: */*", "--max-time", "60"),
            *("--header", f"Authorization: Bearer {TENANTS['acme']}", f"{server.url}/flux-dev"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    lines = (line.partition(": ") for line in told.stdout.splitlines())
    headers = httpx.Headers([(name, value) for name, _, value in lines])
    assert told.stdout.startswith("HTTP/1.1 200 OK")
    assert headers["content-type"] == "image/png"
    assert float(headers["X-Cost-USD"]) >= 0
    assert float(headers["X-Execution-Time-Sec"]) > 0
    assert headers["X-GPU-Type"]
    with Image.open(file) as picture:
        assert (picture.format, picture.size) == ("PNG", (256, 256))


def test_a_bare_socket_follows_a_job_and_takes_up_where_it_left_off(server: Served) -> None:
    with server.busy(), server.ask() as ask:
        id = ask.post("/flux-schnell", json=SMALL).json()["id"]
        with socket.create_connection(server.address) as connection:
            connection.sendall(request(server, f"GET /jobs/{id}/events"))
            first = connection.recv(65_536)
            while b"event: progress" not in first:
                first += connection.recv(65_536)
            server.worker.free.set()
            stream = rest_of(connection)
    ids = [line[4:] for line in stream.splitlines() if line.startswith("id: ")]

    assert b"200 OK" in first
    assert b"text/event-stream" in first
    assert "event: finished" in stream
    with socket.create_connection(server.address) as connection:
        connection.sendall(request(server, f"GET /jobs/{id}/events", f"Last-Event-ID: {ids[-1]}"))
        assert rest_of(connection).startswith("HTTP/1.1 204 ")


def test_many_at_once_with_one_key_make_one_job(server: Served) -> None:
    before = server.jobs()
    with server.ask() as ask, ThreadPoolExecutor(8) as pool:

        def post(prompt: str, key: str) -> httpx.Response:
            headers = {"Idempotency-Key": key}
            return ask.post("/flux-schnell", json={**SMALL, "prompt": prompt}, headers=headers)

        same = list(pool.map(post, ["a fox"] * 8, ["fox"] * 8))
        other = list(pool.map(post, ["a fox", "an owl"] * 4, ["fox or owl"] * 8))

    assert {answer.status_code for answer in same} <= {200, 202}
    assert len({answer.json()["id"] for answer in same}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in same) == 1
    taken = [answer.is_success for answer in other]
    assert taken in ([True, False] * 4, [False, True] * 4)
    assert {answer.status_code for answer in other if not answer.is_success} == {409}
    assert len(server.jobs() - before) == 2


def test_another_tenant_s_job_is_as_unknown_as_none(server: Served) -> None:
    with server.ask() as acme, server.ask("zeta") as zeta:
        id = acme.post("/flux-schnell", json=SMALL, headers={"Prefer": "wait=30"}).json()["id"]
        assert acme.get(f"/jobs/{id}/outputs/0").headers["content-type"] == "image/png"
        for method, path in (
            ("GET", ""),
            ("GET", "/events"),
            ("GET", "/outputs/0"),
            ("DELETE", ""),
        ):
            theirs = zeta.request(method, f"/jobs/{id}{path}")
            nobodys = zeta.request(method, f"/jobs/{id[::-1]}{path}")
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.json()["code"] == nobodys.json()["code"] == "unknown_job"
        assert id not in zeta.get("/jobs").text
        key = {"Idempotency-Key": "shared"}
        mine, their = (ask.post("/flux-schnell", json=SMALL, headers=key) for ask in (acme, zeta))
        assert mine.json()["id"] != their.json()["id"]
    with Client(server.url, TENANTS["zeta"]) as ryla, pytest.raises(NotFound):
        ryla.job(id)


def test_a_tenant_that_asks_too_often_is_told_when_to_come_back(server: Served) -> None:
    with server.ask("hasty") as ask, server.ask("zeta") as another:
        fine = []
        # On a machine too busy to answer as many in a minute, a few more are taken.
        while (last := ask.get("/jobs/none/outputs/none")).status_code == 404:
            fine.append(last)
            assert len(fine) < 4 * PER_MINUTE
        assert len(fine) >= PER_MINUTE
        assert last.status_code == 429
        assert 1 <= int(last.headers["Retry-After"]) <= 60
        assert last.json()["code"] == "too_many_requests"
        assert another.get("/models").status_code == 200


def test_a_tenant_with_too_many_unfinished_jobs_is_told_so(server: Served) -> None:
    with server.ask("crowd") as ask, server.busy():
        posted = [ask.post("/flux-schnell", json=SMALL) for _ in range(JOBS + 1)]
        *taken, refused = posted
        assert {answer.status_code for answer in taken} == {202}
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["code"] == "too_many_jobs"
        for answer in taken:
            assert ask.delete(answer.headers["Location"]).status_code == 200


def test_a_body_over_the_limit_is_not_read(server: Served) -> None:
    start = "POST /flux-schnell"
    kind = "Content-Type: application/json"
    with socket.create_connection(server.address) as connection:
        connection.sendall(request(server, start, kind, f"Content-Length: {2**40}"))
        assert rest_of(connection).startswith("HTTP/1.1 413 ")
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with socket.create_connection(server.address) as connection:
        connection.sendall(request(server, start, kind, "Transfer-Encoding: chunked"))
        for _ in range(17):
            connection.sendall(chunk)
        assert rest_of(connection).startswith("HTTP/1.1 413 ")


def test_those_who_never_finish_their_requests_hold_up_nobody(server: Served) -> None:
    half_a_head = request(server, "POST /flux-schnell")[:40]
    kind = "Content-Type: application/json"
    half_a_body = request(server, "POST /flux-schnell", kind, "Content-Length: 500", body=b'{"pr')
    with ExitStack() as slow:
        for n in range(120):
            connection = slow.enter_context(socket.create_connection(server.address))
            connection.sendall(half_a_body if n % 8 == 0 else half_a_head)

        with server.ask() as ask:
            began = time.monotonic()
            taken = ask.post("/flux-schnell", json=SMALL, headers={"Prefer": "wait=20"})
            assert taken.json()["status"] == "succeeded"
            assert time.monotonic() - began < 15


def test_it_ends_in_good_order_and_remembers_after_its_restart(server: Served) -> None:
    key = {"Idempotency-Key": "before and after"}
    with ThreadPoolExecutor(1) as pool, server.ask() as ask, server.busy():
        waiting = pool.submit(
            ask.post, "/flux-schnell", json=SMALL, headers={**key, "Prefer": "wait=60"}
        )
        with closing(socket.create_connection(server.address)) as stream:
            while not (jobs := ask.get("/jobs").json()["jobs"]):
                time.sleep(0.02)
            stream.sendall(request(server, f"GET /jobs/{jobs[0]['id']}/events"))
            stream.recv(1024)

            assert server.stop() == 0

            answer = waiting.result(timeout=10)
            assert answer.status_code == 202
            rest_of(stream)
    server.start()

    with server.ask() as ask:
        done = ask.post("/flux-schnell", json=SMALL, headers={**key, "Prefer": "wait=30"})
        assert (done.json()["id"], done.json()["status"]) == (answer.json()["id"], "succeeded")
        assert done.headers["Idempotency-Replayed"] == "true"
        other = ask.post("/flux-schnell", json={**SMALL, "seed": 1}, headers=key)
        assert (other.status_code, other.json()["code"]) == (409, "id_conflict")
        picture = ask.get(done.json()["outputs"][0])
        with Image.open(BytesIO(picture.content)) as image:
            assert image.size == (256, 256)


def test_the_log_is_json_and_holds_no_secret(server: Served) -> None:
    httpx.post(f"{server.url}/doorbell/{TOKEN}")
    httpx.post(f"{server.url}/doorbell/{TOKEN}x")
    with server.ask() as ask:
        ask.get("/jobs/%0a%7B%22level%22%3A%22error%22%7D", headers={"X-Request-ID": "found-me"})

    until = time.monotonic() + 10
    while not any("found-me" in line for line in server.logs) and time.monotonic() < until:
        time.sleep(0.02)
    lines = [json.loads(line) for line in server.logs]
    text = "".join(server.logs)
    (found,) = (line for line in lines if line.get("request_id") == "found-me")
    assert (found["path"], found["status"], found["tenant"]) == ("/jobs/{id}", 404, "acme")
    secret = server.settings.secret_access_key
    assert secret is not None
    for hidden in (*TENANTS.values(), TOKEN, secret.get_secret_value()):
        assert hidden not in text

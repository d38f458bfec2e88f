"""What docs/notifications.md shows is run, as it stands there."""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
import tomllib
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from config.settings import Settings, webhook_key
from events.stored_event import StoredEvent
from pipeline.api.routes.metrics import BudgetGauges, Gauges
from pipeline.dispatcher.owed_alarms import OwedAlarm, payload
from pipeline.jobs.hold_ups import HoldUps
from pipeline.jobs.status import overview
from pipeline.notify.callbacks import Caller, signature
from pipeline.queue.expiry import Lifetimes
from pipeline.store.s3 import connect
from tests.pipeline.conftest import MakePipeline
from tests.support.https_server import https_server
from tests.support.jobs import a_result
from tests.support.network import Network

PAGE = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text("utf-8")
HOST = "backend.example.com"
SECRET = "whsec_QvPY9fPSQXYvqbfKpLHk0mVhKq7bHnqCrUoCJkWmVrk="


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


Callback = tuple[dict[str, str], bytes]


@pytest.fixture(scope="module")
def callback(tmp_path_factory: pytest.TempPathFactory) -> Callback:
    """Headers and body of a callback as it arrived."""

    def answer(_: str, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n")

    with https_server(tmp_path_factory.mktemp("https"), [HOST], answer) as server:
        settings = Settings.model_validate({"callback_hosts": HOST, "callback_secret": SECRET})
        caller = Caller(settings, lambda: datetime.now(UTC), Network(server.port).web(server))
        caller.call(a_result(callback_url=f"https://{HOST}/told", metadata={"name": "Zoë"}))
        lines = server.requests[0].strip().split("\r\n")[1:]
        headers = {name.lower(): it for name, _, it in (line.partition(": ") for line in lines)}
        return headers, server.bodies[0]


# Python


@pytest.fixture(scope="module")
def read_callback() -> Any:
    [snippet] = blocks("python")
    names: dict[str, Any] = {}
    exec(snippet, names)
    return names["read_callback"]


def test_the_python_snippet_believes_what_is_ours(read_callback: Any, callback: Callback) -> None:
    told = read_callback(SECRET, *callback)
    assert (told["type"], told["data"]["id"]) == ("job.succeeded", "job")
    assert told["data"]["metadata"] == {"name": "Zoë"}


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "other"},
        {"webhook-timestamp": str(int(time.time()) - 60)},
        {"webhook-timestamp": "1700000000"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": ""},
    ],
)
def test_the_python_snippet_believes_nothing_else(
    read_callback: Any, callback: Callback, change: dict[str, str]
) -> None:
    headers, body = callback
    with pytest.raises(ValueError, match=r"signed|time"):
        read_callback(SECRET, {**headers, **change}, body)


def test_the_python_snippet_takes_one_of_several_signatures(
    read_callback: Any, callback: Callback
) -> None:
    headers, body = callback
    several = {**headers, "webhook-signature": f"v1,AAAA {headers['webhook-signature']}"}
    assert read_callback(SECRET, several, body)
    with pytest.raises(ValueError, match="signed"):
        read_callback(SECRET, headers, body + b" ")


def test_the_python_snippet_reads_an_alarm_which_looks_as_the_page_shows(
    read_callback: Any,
) -> None:
    [example] = [each for each in map(json.loads, blocks("json")) if "budget" in str(each)]
    said = example["data"]
    event = StoredEvent(
        event="modal_budget_reached",
        uuid="6b0a4c0e-5a4b-5e1e-9c56-9a1c4f0c2b11",
        distinct_id="acme",
        timestamp=example["timestamp"],
        properties={**said, "attempt": 1},
    )
    owed = OwedAlarm(nonce="n", alarm=said["alarm"], event=event, not_before=datetime.now(UTC))
    now, body = int(time.time()), payload(owed)
    key = webhook_key(Settings.model_validate({"callback_secret": SECRET}))
    headers = {
        "webhook-id": event.uuid,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(key, event.uuid, now, body),
    }
    assert read_callback(SECRET, headers, body) == example


# TypeScript and JavaScript


def node(*needed: int) -> str:
    """Skips where there is no Node of this version."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node is not installed")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, said.strip().lstrip("v").split("."))) < needed:
        pytest.skip(f"Node {'.'.join(map(str, needed))} is needed, this is {said.strip()}")
    return found


def test_the_typescript_snippet_tells_ours_from_others(tmp_path: Path, callback: Callback) -> None:
    binary = node(22, 6)
    [snippet] = blocks("ts")
    (tmp_path / "callback.ts").write_text(snippet)
    headers, body = callback
    given = json.dumps({"secret": SECRET, "headers": headers, "body": body.decode()})
    (tmp_path / "main.mjs").write_text(
        'import { readCallback } from "./callback.ts";\n'
        f"const {{ secret, headers, body }} = {given};\n"
        "console.log(readCallback(secret, headers, Buffer.from(body)).data.id);\n"
        "try { readCallback(secret, headers, Buffer.from(body + ' ')); }\n"
        "catch (error) { console.log(error.message); }\n"
    )
    said = subprocess.run(
        [binary, "--experimental-strip-types", "--no-warnings", str(tmp_path / "main.mjs")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split("\n")[:2] == ["job", "not signed with this secret"]


def test_the_worker_rings(tmp_path: Path) -> None:
    binary = node(18)
    [snippet] = blocks("js")
    rung: list[str] = []

    class Doorbell(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            rung.append(self.path)
            self.send_response(202 if self.path == "/doorbell/t" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    (tmp_path / "worker.mjs").write_text(snippet)
    with HTTPServer(("127.0.0.1", 0), Doorbell) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/doorbell/"
        (tmp_path / "main.mjs").write_text(
            'import worker from "./worker.mjs";\n'
            f'await worker.queue({{messages: []}}, {{DOORBELL_URL: "{url}t"}});\n'
            f'await worker.queue({{messages: []}}, {{DOORBELL_URL: "{url}x"}})'
            ".catch((error) => console.log(error.message));\n"
        )
        main = [binary, str(tmp_path / "main.mjs")]
        said = subprocess.run(main, capture_output=True, text=True, check=True)
        server.shutdown()
        thread.join()
    assert rung == ["/doorbell/t", "/doorbell/x"]
    assert said.stdout.strip() == "the doorbell answered 404"


# Configurations


def test_s3_takes_the_configurations() -> None:
    documents = map(json.loads, blocks("json"))
    configured = [each for each in documents if next(iter(each)).endswith("Configurations")]
    assert len(configured) == 2
    client = connect(Settings())
    client.meta.config.parameter_validation = True  # type: ignore[attr-defined]
    with Stubber(client) as stub:
        for each in (*configured, {"EventBridgeConfiguration": {}}):
            stub.add_response("put_bucket_notification_configuration", {})
            client.put_bucket_notification_configuration(
                Bucket="ryla", NotificationConfiguration=each
            )


def test_all_json_and_toml_can_be_read() -> None:
    assert [json.loads(each) for each in blocks("json")]
    assert {name for each in blocks("toml") for name in tomllib.loads(each)} == {
        "queues",
        "notification",
    }


def test_the_example_has_the_fields_that_are_sent(callback: Callback) -> None:
    example, sent = json.loads(blocks("json")[0]), json.loads(callback[1])
    assert list(example) == list(sent)
    assert list(example["data"]) == list(sent["data"])


def test_every_gauge_is_listed(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline()
    gauges = Gauges(overview(pipeline.store), Lifetimes.of(pipeline.settings))
    listed = re.findall(r"^\| `(ryla_\w+)`", PAGE, re.MULTILINE)
    assert listed == [
        gauge.name for each in (gauges, BudgetGauges(HoldUps())) for gauge in each.collect()
    ]

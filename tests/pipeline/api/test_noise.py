"""Random bytes on the wire: whatever comes, the server answers it or hangs up, and goes on."""

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import httpx
import pytest

from pipeline.api.dependencies import ApiDependencies
from pipeline.api.server import listen, served, url_of
from tests.support.api_fixture import QUICK, SMALL, bearer, keys
from tests.support.pipeline_fixture import PipelineFixture

KEY = "the-key"
TEXTS = ("a cat", "", " ", "\x00", "\ud800", "é", "😀", "../..", "%2e%2e", "{{7*7}}", "x" * 5000)
NUMBERS = (0, -1, 1.5, 10**30, 1e308, 2**63, -(2**64), True, None)
NAMES = ("prompt", "width", "seed", "steps", "metadata", "consent", "priority", "promt", "", "a.b")
KINDS = ("/flux-dev", "/flux-schnell", "/flux-lora", "/workflow", "/flux-instantid")
PATHS = (
    *("/jobs", "/jobs/x", "/jobs/../health", "/jobs/%2e%2e/outputs/0", "/jobs/a%2fb/events"),
    *("/jobs/x/outputs/0", "/jobs/x/outputs/-1", "/jobs/%00", "/jobs/%ff%fe", "//jobs", "/"),
    *("/health", "/metrics", "/doorbell/x", "/doorbell/%0d%0aX: y", "/openapi.json", "*", "/wan2"),
    "http://elsewhere.test/jobs",
)
METHODS = ("GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "é")
BREAKS = ("", "{", "[", '{"prompt":', '{"a":1,"a":2}', "NaN", '"\\ud800"', "\xff\xfe", "null", "[]")
ODD_HEADERS = (
    b"Prefer: wait=99999999999999999999",
    b"Prefer: wait=-1, wait=, ;;;, wait=0",
    b"Accept: image/*;q=0, */*;q=abc, ,,,/",
    b"Idempotency-Key: " + b"k" * 300,
    b"Idempotency-Key: \xff\xfe",
    b"Idempotency-Key:",
    b"X-Request-ID: a\x0bb",
    b"X-Request-ID: " + b"r" * 9000,
    b"Last-Event-ID: \x00",
    b"Content-Length: 5",
    b"Content-Length: -5",
    b"Content-Length: 1_0",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Content-Encoding: gzip",
    b"Content-Type: application/json; charset=utf-16",
    b"Content-Type: text/plain",
    b"Host: elsewhere.test",
    b"Origin: null",
    b"Expect: 100-continue",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"Range: bytes=0-0",
    b"If-None-Match: *",
    b" folded: value",
    b"Name With Space: x",
    b"\xff\xff: x",
    b"no colon at all",
    b"X: " + b"y" * 70_000,
)


def anything(random: Random, depth: int = 0) -> Any:
    """A value that JSON has, or nearly."""
    kind = random.randrange(4 if depth < 4 else 2)
    if kind == 0:
        return random.choice(TEXTS)
    if kind == 1:
        return random.choice(NUMBERS)
    some = range(random.randrange(4))
    if kind == 2:
        return [anything(random, depth + 1) for _ in some]
    return {random.choice(NAMES): anything(random, depth + 1) for _ in some}


def a_body(random: Random) -> bytes:
    kind = random.randrange(8)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind == 1:
        return random.choice(BREAKS).encode("latin-1")
    if kind == 2:
        depth = random.choice((50, 150, 20_000))
        return b'{"prompt":' + b"[" * depth + b"]" * depth + b"}"
    if kind == 3:
        return b'{"seed":' + b"9" * random.choice((20, 5000, 100_000)) + b"}"
    fields = {random.choice(NAMES): anything(random) for _ in range(random.randrange(4))}
    plain = random.random() < 0.5
    text = json.dumps({**SMALL, **fields} if kind > 5 else fields, ensure_ascii=plain)
    return text.encode("utf-8", "surrogatepass")


def a_request(random: Random) -> bytes:
    if random.random() < 0.05:
        return random.randbytes(random.randrange(1, 400)) + b"\r\n\r\n"
    body = a_body(random)
    method, path = random.choice(METHODS), random.choice(PATHS)
    if random.random() < 0.6:
        method, path = "POST", random.choice(KINDS)
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1")]
    lines += [b"Host: 127.0.0.1", b"Connection: close", b"Prefer: wait=0"]
    if random.random() < 0.9:
        lines.append(f"Authorization: Bearer {KEY}".encode())
    if random.random() < 0.8:
        lines.append(b"Content-Type: application/json")
    odd = random.sample(ODD_HEADERS, random.choice((0, 0, 0, 1, 2)))
    if not any(b"Transfer-Encoding" in each for each in odd):
        lines.append(b"Content-Length: %d" % len(body))
    elif random.random() < 0.5:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    random.shuffle(odd)
    return b"\r\n".join([*lines, *odd]) + b"\r\n\r\n" + body


def answer_to(request: bytes, address: tuple[str, int]) -> bytes:
    """All that comes, until the server hangs up, or we do as it waits for more."""
    with socket.create_connection(address, timeout=1) as connection:
        got = b""
        try:
            connection.sendall(request)
            while part := connection.recv(65_536):
                got += part
        except (ConnectionError, TimeoutError):
            pass
    return got


@pytest.fixture
def url(tmp_path: Any) -> Iterator[str]:
    pipeline = PipelineFixture(
        api_keys=keys(acme=KEY), api_requests_per_minute=1_000_000, api_jobs_per_tenant=1_000_000
    )
    listener = listen("127.0.0.1", 0)
    there = url_of(listener)
    with served(
        ApiDependencies(pipeline.runtime, pipeline.store, timeouts=replace(QUICK, body=0.1)),
        listener,
    ):
        yield there
    pipeline.close()


@pytest.mark.thorough
def test_five_hundred_random_requests_leave_it_up(url: str) -> None:
    random = Random(20_260_301)
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    statuses: Counter[int] = Counter()
    for _ in range(500):
        request = a_request(random)

        answer = answer_to(request, address)

        first = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
        status = int(first[1]) if first else 0
        statuses[status] += 1
        assert status < 500 or status == 501, (request[:2000], answer[:2000])
        assert b"Traceback" not in answer
        assert b"\r\nX: y" not in answer
    assert {200, 202, 400, 404, 405, 415, 422} <= statuses.keys(), statuses

    with httpx.Client(base_url=url, headers=bearer(KEY)) as client:
        assert client.get("/health").status_code == 200
        taken = client.post("/flux-schnell", json=SMALL)
        assert taken.status_code == 202
        assert client.get(taken.headers["Location"]).json()["state"] == "waiting"

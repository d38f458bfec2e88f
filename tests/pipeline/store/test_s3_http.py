"""Against sockets that answer byte by byte what they are told."""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pipeline.store import s3_http
from pipeline.store.s3_http import BrokenReply, HttpPool, Reply
from tests.support.https_server import https_server

Answer = Callable[[socket.socket], None]
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "e"\r\n\r\nok'


class Server:
    """Answers each request of a connection in turn, then closes it."""

    def __init__(self, connections: Sequence[Sequence[bytes | Answer]]) -> None:
        self._connections = connections
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests: list[tuple[int, bytes]] = []
        """Number of the connection, and what came over it."""
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        for number, answers in enumerate(self._connections):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, suppress(OSError):
                for answer in answers:
                    self.requests.append((number, _request(sock)))
                    if isinstance(answer, bytes):
                        sock.sendall(answer)
                    else:
                        answer(sock)


def _request(sock: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        if not (part := sock.recv(65536)):
            raise ConnectionError
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
    while len(body) < min(length, 100_000):
        body += sock.recv(65536)
    return received


@contextmanager
def serving(*connections: Sequence[bytes | Answer]) -> Iterator[Server]:
    server = Server(connections)
    try:
        yield server
    finally:
        server.close()


def pool_of(port: int, **changes: Any) -> HttpPool:
    options = {"size": 4, "ca_bundle": None, "proxy": None, "read_timeout_s": 0.5, **changes}
    return HttpPool(f"http://127.0.0.1:{port}", **options)


def ask(pool: HttpPool, method: str = "GET", body: bytes | None = None) -> Reply:
    return pool.request(method, "/bucket/key", {"host": "h", "x": "y"}, body)


def answered(*parts: bytes | Answer) -> Reply:
    """The reply to one request that is answered so."""
    with serving(parts) as server:
        pool = pool_of(server.port)
        try:
            return ask(pool)
        finally:
            pool.close()


# What a request and a reply look like


def test_a_request_is_told_whole_and_in_one_piece() -> None:
    with serving([OK]) as server:
        pool = pool_of(server.port)
        reply = ask(pool, "PUT", b"body")
        pool.close()
    assert reply == Reply(200, {"content-length": "2", "etag": '"e"'}, b"ok")
    assert server.requests == [
        (0, b"PUT /bucket/key HTTP/1.1\r\nhost: h\r\nx: y\r\ncontent-length: 4\r\n\r\nbody")
    ]


@pytest.mark.parametrize("value", ["a\r\nx-more: b", "a\nb", "a\rb"])
def test_a_header_is_one_line(value: str) -> None:
    with serving([OK]) as server:
        pool = pool_of(server.port)
        with pytest.raises(ValueError, match="a line break"):
            pool.request("PUT", "/bucket/key", {"content-type": value}, b"")
        pool.close()


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param(b"200 OK\r\nTransfer-Encoding: chunked", b"ok", id="chunked"),
        pytest.param(b"404 Not Found\r\nTransfer-Encoding: Chunked", b"ok", id="chunked error"),
    ],
)
def test_a_chunked_reply_is_put_together(head: bytes, body: bytes) -> None:
    chunks = b"1;name=value\r\no\r\n1\r\nk\r\n0\r\nTrailer: x\r\n\r\n"
    reply = answered(b"HTTP/1.1 " + head + b"\r\n\r\n" + chunks)
    assert reply.body == body


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_replies_have_no_body_whatever_they_say(status: bytes) -> None:
    assert answered(b"HTTP/1.1 " + status + b"\r\nContent-Length: 9\r\n\r\n").body == b""


def test_a_reply_may_end_with_its_connection() -> None:
    assert answered(b"HTTP/1.1 200 OK\r\n\r\nall of it").body == b"all of it"


def test_what_comes_before_the_reply_is_passed_over() -> None:
    before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert answered(before + OK).status == 200


def test_a_reply_may_come_in_the_smallest_pieces() -> None:
    def byte_by_byte(sock: socket.socket) -> None:
        for byte in OK:
            sock.sendall(bytes([byte]))

    assert answered(byte_by_byte).body == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="a part of the head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", id="a part of the body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", id="half a chunk"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", id="no last one"
        ),
        pytest.param(b"welcome\r\n\r\n", id="no HTTP"),
        pytest.param(b"HTTP/1.1 OK\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="no length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="less than none"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000, id="a head without end"),
    ],
)
def test_what_is_no_whole_reply_is_none(answer: bytes) -> None:
    with pytest.raises(BrokenReply):
        answered(answer)


# Connections


def test_a_connection_is_used_again() -> None:
    with serving([OK, OK, OK]) as server:
        pool = pool_of(server.port)
        assert [ask(pool).body for _ in range(3)] == [b"ok"] * 3
        pool.close()
    assert [number for number, _ in server.requests] == [0, 0, 0]


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(OK.replace(b"ETag", b"Connection: close\r\nETag"), id="told to close"),
        pytest.param(OK.replace(b"/1.1", b"/1.0"), id="HTTP/1.0"),
        pytest.param(OK + b"HTTP/1.1 200 OK\r\n", id="more than a reply"),
        pytest.param(OK, id="closed without a word"),
    ],
)
def test_a_connection_that_is_no_good_any_more_is_replaced(last: bytes) -> None:
    with serving([last], [OK]) as server:
        pool = pool_of(server.port)
        assert ask(pool).body == b"ok"
        time.sleep(0.05)
        assert ask(pool).body == b"ok"
        pool.close()
    assert [number for number, _ in server.requests] == [0, 1]


def test_a_connection_that_was_idle_for_long_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3_http, "IDLE_S", 0.0)
    with serving([OK], [OK]) as server:
        pool = pool_of(server.port)
        ask(pool)
        Thread(target=ask, args=(pool,)).start()
        time.sleep(0.1)
        pool.close()
    assert [number for number, _ in server.requests] == [0, 1]


def test_no_more_connections_are_kept_than_it_was_told() -> None:
    with serving([OK], [OK]) as server:
        pool = pool_of(server.port, size=0)
        ask(pool)
        ask(pool)
    assert [number for number, _ in server.requests] == [0, 1]


# A store that hangs, or ends a call early


def stand_still(sock: socket.socket) -> None:
    """Until the other side has gone."""
    sock.recv(1)


def in_time(call: Callable[[], object], at_most_s: float) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        call()
    assert time.monotonic() - began < at_most_s


def test_a_reply_that_does_not_come_is_waited_for_so_long() -> None:
    in_time(lambda: answered(stand_still), 1.0)


def test_a_body_that_stops_coming_is_waited_for_so_long() -> None:
    def half(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        stand_still(sock)

    in_time(lambda: answered(half), 1.0)


def test_a_head_that_comes_in_drops_is_waited_for_no_longer() -> None:
    def drip(sock: socket.socket) -> None:
        for byte in OK:
            sock.sendall(bytes([byte]))
            time.sleep(0.1)

    in_time(lambda: answered(drip), 1.0)


def test_a_body_that_goes_on_coming_may_take_longer() -> None:
    part = b"x" * 32_000

    def slowly(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 * len(part)))
        for _ in range(8):
            time.sleep(0.1)
            sock.sendall(part)

    assert answered(slowly).body == part * 8


def test_a_refusal_before_the_body_has_been_sent_is_heard() -> None:
    def refuse(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving([refuse]) as server:
        pool = pool_of(server.port, read_timeout_s=5)
        assert ask(pool, "PUT", b"x" * 50_000_000).status == 403


def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 4000
    received = bytearray()

    def take_all(sock: socket.socket) -> None:
        while len(received) < len(body) - 100_000 - 65536:
            received.extend(sock.recv(65536))
        sock.settimeout(0.3)
        with suppress(TimeoutError):
            while part := sock.recv(65536):
                received.extend(part)
        sock.sendall(OK)

    with serving([take_all]) as server:
        pool = pool_of(server.port, read_timeout_s=5)
        assert ask(pool, "PUT", body).status == 200
        pool.close()


# The way to the host


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_first_address_that_takes_us_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving([OK]) as server:
        resolves_to(monkeypatch, ("127.0.0.1", free_port()), ("127.0.0.1", server.port))
        pool = pool_of(server.port)
        assert ask(pool).body == b"ok"
        pool.close()


def test_addresses_that_do_not_answer_share_the_time_to_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3_http, "CONNECT_S", 0.6)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        taken = [socket.socket() for _ in range(3)]
        for each in taken:
            each.setblocking(False)
            each.connect_ex(address)
        resolves_to(monkeypatch, *[address] * 3)
        in_time(lambda: ask(pool_of(address[1])), 1.5)
        for each in taken:
            each.close()


def test_a_host_without_an_address_is_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch)
    with pytest.raises(OSError, match="no address"):
        ask(pool_of(1))


def answer_ok(head: str, sock: socket.socket) -> None:
    sock.sendall(OK.replace(b"ETag", b"Connection: close\r\nETag"))


def test_a_certificate_is_checked_against_the_bundle(tmp_path: Path) -> None:
    with https_server(tmp_path, ["localhost"], answer_ok) as server:
        bundle = str(server.certificate)
        options: Any = {"size": 1, "proxy": None, "read_timeout_s": 5}
        good = HttpPool(f"https://localhost:{server.port}", ca_bundle=bundle, **options)
        assert ask(good).body == b"ok"
        unknown = HttpPool(f"https://localhost:{server.port}", ca_bundle=None, **options)
        other = HttpPool(f"https://127.0.0.1:{server.port}", ca_bundle=bundle, **options)
        for pool in (unknown, other):
            with pytest.raises(ssl.SSLCertVerificationError):
                ask(pool)


# Proxies


def test_a_proxy_is_told_the_whole_url_and_who_asks() -> None:
    with serving([OK]) as server:
        proxy = f"http://us%40home:s3cret@127.0.0.1:{server.port}"
        pool = HttpPool(
            "http://s3.example.com", size=1, ca_bundle=None, proxy=proxy, read_timeout_s=5
        )
        assert ask(pool).body == b"ok"
        pool.close()
    ((_, request),) = server.requests
    assert request.startswith(b"GET http://s3.example.com/bucket/key HTTP/1.1\r\n")
    assert b"proxy-authorization: Basic dXNAaG9tZTpzM2NyZXQ=\r\n" in request


def test_a_proxy_leads_tls_through(tmp_path: Path) -> None:
    with https_server(tmp_path, ["s3.example.com"], answer_ok) as store:

        def lead(sock: socket.socket) -> None:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", store.port)) as onward:
                back = Thread(target=relay, args=(onward, sock))
                back.start()
                relay(sock, onward)
                back.join()

        with serving([lead]) as server:
            pool = HttpPool(
                "https://s3.example.com",
                size=1,
                ca_bundle=str(store.certificate),
                proxy=f"http://127.0.0.1:{server.port}",
                read_timeout_s=5,
            )
            assert ask(pool).body == b"ok"
            pool.close()
    assert server.requests[0][1].startswith(b"CONNECT s3.example.com:443 HTTP/1.1\r\n")
    assert store.requests[0].startswith("GET /bucket/key HTTP/1.1\r\n")


def relay(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


def test_a_proxy_that_refuses_is_named() -> None:
    with serving([b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"]) as server:
        proxy = f"http://127.0.0.1:{server.port}"
        pool = HttpPool(
            "https://s3.example.com", size=1, ca_bundle=None, proxy=proxy, read_timeout_s=5
        )
        with pytest.raises(BrokenReply, match=r"proxy 127\.0\.0\.1 answers 407"):
            ask(pool)

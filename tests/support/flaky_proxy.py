"""An HTTP server on loopback that stands in front of a store and decides what becomes of each call.

Without an upstream it only answers what it is told to.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit


class Fate(Enum):
    PASS = auto()
    LOSE_REQUEST = auto()
    """The store never hears of it, and the connection breaks."""
    LOSE_REPLY = auto()
    """The store does it, and the connection breaks."""
    TEAR = auto()
    """The store gets half of the body, then both connections break."""
    CORRUPT = auto()
    """One byte of the body arrives changed."""


@dataclass(frozen=True)
class Answer:
    """What the proxy says itself."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    dated: bool = True
    delay_s: float = 0.0
    cut: bool = False
    """Promises more bytes than it sends."""


Plan = Callable[[str, str], Fate | Answer]


def always(fate: Fate | Answer) -> Plan:
    return lambda method, path: fate


def first(method: str, *fates: Fate | Answer) -> Plan:
    """The first calls of this method meet these fates, all else passes."""
    coming = list(fates)
    return lambda called, path: coming.pop(0) if called == method and coming else Fate.PASS


class FlakyProxy:
    def __init__(self, upstream: str | None = None) -> None:
        self.plan: Plan = always(Fate.PASS)
        self.seen: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        """Of the same calls, by their names in small letters."""
        self.upstream = urlsplit(upstream).netloc if upstream else ""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler(proxy: FlakyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            proxy.seen.append((self.command, self.path))
            proxy.headers.append({name.lower(): value for name, value in self.headers.items()})
            fate = proxy.plan(self.command, self.path)
            if isinstance(fate, Answer):
                self._say(fate)
                return
            reply = None if fate is Fate.LOSE_REQUEST else self._forward(body, fate)
            if reply is None or fate is Fate.LOSE_REPLY:
                self._break()
            else:
                self._relay(*reply)

        do_GET = do_PUT = do_DELETE = do_POST = do_HEAD = _serve  # noqa: N815  the server's names

        def _forward(
            self, body: bytes, fate: Fate
        ) -> tuple[int, list[tuple[str, str]], bytes] | None:
            if fate is Fate.CORRUPT:
                body = bytes([body[0] ^ 1]) + body[1:]
            connection = HTTPConnection(proxy.upstream, timeout=30)
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders()
            if fate is Fate.TEAR:
                connection.send(body[: len(body) // 2])
                connection.close()
                return None
            connection.send(body)
            with connection.getresponse() as response:
                answer = response.status, response.getheaders(), response.read()
            connection.close()
            return answer

        def _relay(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _say(self, answer: Answer) -> None:
            time.sleep(answer.delay_s)
            self.send_response_only(answer.status)
            if answer.dated:
                self.send_header("date", self.date_time_string())
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body) + answer.cut * 100))
            with suppress(ConnectionError):  # whoever waits less long than the delay is gone
                self.end_headers()
                self.wfile.write(answer.body)
            if answer.cut:
                self._break()

        def _break(self) -> None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler

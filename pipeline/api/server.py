"""uvicorn around the app: on a socket that is bound before anything else starts."""

import asyncio
import errno
import json
import logging
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import h11
import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from config.errors import InvalidSetting
from pipeline.api.app import make_app
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.problems import PROBLEM, problem
from pipeline.api.request_errors import BadRequest
from pipeline.api.service import Service

PATIENCE_S = 20.0
"""In which the head of a request must have arrived (up to twice that after an earlier answer), and
something of an answer must have been taken."""
AT_ONCE = 256
"""Connections that may wait to be accepted; so many are, before any is counted."""
SPARE_FILES = AT_ONCE + 128
"""Not for connections, but for the store's and for files that are read."""
FEWEST = 64
"""Connections, however low the limit on files."""


class IdleTimeoutProtocol(H11Protocol):
    """Hangs up where nothing goes on, and on whoever comes when there are no files left.

    uvicorn keeps such connections for ever. A process may have only so many files and so much
    memory, so whoever connects and says nothing, or asks for pictures and does not take them, would
    lock all others out.
    """

    patience_s = PATIENCE_S
    _silence: asyncio.TimerHandle | None = None
    _jam: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.close()
        else:
            self._listen_on(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._silence, self._jam):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._require_less_than(self.transport.get_write_buffer_size() + 1)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._jam is not None:
            self._jam.cancel()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """What is no HTTP is answered as every other error, unless an answer is under way."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        error = BadRequest("this is no request of HTTP/1.1", hint="Send one, or use another port.")
        body = json.dumps(problem(error)).encode()
        headers = [
            ("content-type", PROBLEM),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        answer = (h11.Response(status_code=400, headers=headers), h11.Data(body))
        for event in (*answer, h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _listen_on(self, *idle_after: RequestResponseCycle | None) -> None:
        self._silence = self.loop.call_later(self.patience_s, self._require_request, *idle_after)

    def _require_request(self, *idle_after: RequestResponseCycle | None) -> None:
        """`idle_after` is the request that was answered then, None for none yet."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._listen_on()
        elif self.cycle in idle_after:
            self.transport.close()
        else:
            self._listen_on(self.cycle)

    def _require_less_than(self, before: int) -> None:
        """Bytes that wait to be taken."""
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        else:
            self._jam = self.loop.call_later(self.patience_s, self._require_less_than, left)


def most_connections() -> int:
    """What the limit on open files leaves for connections, at least FEWEST."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(FEWEST, files - SPARE_FILES) if files != resource.RLIM_INFINITY else 2**31


GRACE_S = 5
"""For requests that are being answered when the server is told to stop."""


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises InvalidSetting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Its protocol named, or asyncio does not switch Nagle's delay of 40 ms off.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(AT_ONCE)
    except OSError as error:
        made.close()
        taken = error.errno == errno.EADDRINUSE
        raise InvalidSetting(
            f"port {port} of {host} is taken" if taken else f"{host}:{port}: {error.strerror}",
            field="RYLA_API_PORT" if taken else "RYLA_API_HOST",
            value=port if taken else host,
            hint="Give another --port, or 0 for a free one."
            if taken
            else "Give an address of this machine.",
        ) from None
    return made


def url_of(listener: socket.socket) -> str:
    """Where the socket listens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    def __init__(self, app: FastAPI) -> None:
        self._service: Service = app.state.service
        config = uvicorn.Config(
            app,
            http=IdleTimeoutProtocol,
            backlog=AT_ONCE,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.watcher.close()  # or those who wait would hold it up
        await super().shutdown(sockets)


def serve(dependencies: ApiDependencies, listener: socket.socket) -> None:
    """Until SIGINT or SIGTERM, which are raised again at the end. Raises InvalidSetting."""
    _forward_logs()
    with listener:
        Server(make_app(dependencies)).run([listener])


@contextmanager
def served(dependencies: ApiDependencies, listener: socket.socket) -> Iterator[None]:
    """Beside other work, in a thread. Raises InvalidSetting."""
    _forward_logs()
    server = Server(make_app(dependencies))
    thread = Thread(target=server.run, args=([listener],), name="http", daemon=True)
    with listener:
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


SAME_LINES = 10
"""A minute: whoever sends nonsense must not fill the log."""


class _Forward(logging.Handler):
    """uvicorn's own log lines, as the others are written, few of the same."""

    def __init__(self) -> None:
        super().__init__()
        self._minute = 0
        self._said: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        minute = int(record.created // 60)
        if minute != self._minute:
            self._minute, self._said = minute, Counter()
        self._said[record.msg] += 1
        if self._said[record.msg] > SAME_LINES:
            return
        log = structlog.get_logger(record.name)
        details: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        if self._said[record.msg] == SAME_LINES:
            details["and_no_more_of_these_for_s"] = 60 - int(record.created % 60)
        level = record.levelname.lower()
        getattr(log, "error" if level == "critical" else level)(record.getMessage(), **details)


def _forward_logs() -> None:
    log = logging.getLogger("uvicorn")
    log.handlers = [_Forward()]
    log.setLevel(logging.WARNING)
    log.propagate = False

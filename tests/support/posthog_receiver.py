"""A PostHog of our own: a real HTTP server on loopback that can also be down, slow or hostile."""

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b'{"status": 1}'
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    """Reads the request and never answers."""
    hangs_up: bool = False
    """Reads the request and breaks the connection."""


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes
    """Decoded if it came compressed."""
    answer: Answer

    @property
    def batch(self) -> list[dict[str, Any]]:
        return batch_of(self.body)


Batch = list[dict[str, Any]]


def batch_of(body: bytes) -> Batch:
    """The events in the body of a request; none in one that asks for something else."""
    batch: Batch = json.loads(body).get("batch", [])
    return batch


class PostHogReceiver:
    """Answers what `answer` says, and keeps every POST.

    `answer` is one Answer for all, or a function of the batch; `flags` is that to a request for
    feature flags, if it is another.
    """

    def __init__(self) -> None:
        self.answer: Answer | Callable[[Batch], Answer] = Answer()
        self.flags: Answer | None = None
        self.received: list[Received] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._address = ("127.0.0.1", 0)
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._address[1]}"

    def accepted(self) -> Batch:
        """The events answered with 200, each uuid once, in order of arrival."""
        with self._lock:
            batches = [one.batch for one in self.received if one.answer.status == 200]
        return list({event["uuid"]: event for batch in batches for event in batch}.values())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen: at a free port, and after stop() at the same one again."""
        self._stopped.clear()
        server = _Server(self._address, _handler(self))
        self._address = ("127.0.0.1", server.server_port)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Connections are refused from now on."""
        self._stopped.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _take(self, path: str, headers: dict[str, str], raw: bytes) -> Answer:
        compressed = headers.get("content-encoding") == "gzip"
        body = gzip.decompress(raw) if compressed else raw
        asks_for_flags = path.startswith("/flags/")
        answer = self.flags if asks_for_flags and self.flags is not None else self.answer
        if not isinstance(answer, Answer):
            answer = answer(batch_of(body))
        with self._lock:
            self.received.append(Received(path, headers, body, answer))
        if answer.hangs:
            self._stopped.wait()
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


def _handler(receiver: PostHogReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver._take(self.path, headers, raw)
            if not (answer.hangs or answer.hangs_up):
                self._reply(answer)

        def do_GET(self) -> None:
            """What a redirected POST turns into."""
            self._reply(Answer())

        def _reply(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler

"""RunPod's serverless endpoints on loopback: what clients ask, and what workers ask.

    client   POST {url}/{endpoint}/run · POST …/cancel/{job} · GET …/health
    worker   GET  …/job-take/{worker} · POST …/job-done/{worker}/{job} · GET …/ping/{worker}
             GET  …/job-stop/{worker}

The worker's side is what runpod 1.12 calls; the paths come from the variables of `environ`.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "rpa_test"
POLL_S = 1.0
"""How long a worker's question is held."""


@dataclass
class Sent:
    """A job as a client sent it."""

    id: str
    endpoint: str
    input: dict[str, Any]
    policy: dict[str, Any]
    takers: list[str] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    """What workers have said of it, progress and results, in order."""
    cancelled: bool = False

    def results(self) -> list[Any]:
        return [each for each in self.told if each.get("status") != "IN_PROGRESS"]

    def progress(self) -> list[Any]:
        return [each["output"] for each in self.told if each.get("status") == "IN_PROGRESS"]


class RunpodPlane:
    def __init__(self, *endpoints: str) -> None:
        self.endpoints = endpoints
        self.sent: dict[str, Sent] = {}
        self.pings: list[tuple[str, str | None]] = []
        """Worker, and the jobs that it names."""
        self.refuses: int | None = None
        """A status with which each `run` is answered."""
        self.garbled: bytes | None = None
        """What stands in place of an answer to `run`."""
        self.silent = False
        """Takes a `run`, and does not answer it."""
        self.mute = False
        """Takes jobs, and gives them to nobody."""
        self._changed = Condition()
        self._queue: list[Sent] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v2"

    def environ(self, endpoint: str, worker: str) -> dict[str, str]:
        """What the platform sets in a worker's container."""
        base = f"{self.url}/{endpoint}"
        return {
            "RUNPOD_ENDPOINT_ID": endpoint,
            "RUNPOD_POD_ID": worker,
            "RUNPOD_AI_API_KEY": "worker-key",
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=L40S",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=L40S",
            "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID?gpu=L40S",
            "RUNPOD_PING_INTERVAL": "1000",
        }

    def deliver_again(self, job: str) -> None:
        """As after a worker that does not ping any more."""
        with self._changed:
            self._queue.append(self.sent[job])
            self._changed.notify_all()

    def run(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            id = f"job-{len(self.sent)}-e1"
            sent = Sent(id, endpoint, body["input"], body.get("policy", {}))
            self.sent[id] = sent
            if not self.mute:
                self._queue.append(sent)
            self._changed.notify_all()
        return {"id": id, "status": "IN_QUEUE"}

    def take(self, endpoint: str, worker: str) -> Sent | None:
        def waiting() -> list[Sent]:
            return [each for each in self._queue if each.endpoint == endpoint]

        with self._changed:
            if not self._changed.wait_for(waiting, POLL_S):
                return None
            sent = waiting()[0]
            self._queue.remove(sent)
            sent.takers.append(worker)
            return sent

    def cancel(self, job: str) -> bool:
        with self._changed:
            sent = self.sent.get(job)
            if sent is None:
                return False
            sent.cancelled = True
            if sent in self._queue:
                self._queue.remove(sent)
            self._changed.notify_all()
            return True

    def stops(self, worker: str, known: set[str]) -> list[str]:
        """Jobs of this worker that were cancelled and that it was not told of."""

        def new() -> list[str]:
            return [
                each.id
                for each in self.sent.values()
                if each.cancelled and worker in each.takers and each.id not in known
            ]

        with self._changed:
            self._changed.wait_for(new, POLL_S)
            return new()

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def runpod_plane(*endpoints: str) -> Iterator[RunpodPlane]:
    plane = RunpodPlane(*endpoints)
    thread = Thread(target=plane.serve, daemon=True)
    thread.start()
    try:
        yield plane
    finally:
        plane.close()
        thread.join()


def _handler(plane: RunpodPlane) -> type[BaseHTTPRequestHandler]:
    stopped: dict[str, set[str]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._route("POST", json.loads(body) if body else None)

        def do_GET(self) -> None:
            self._route("GET", None)

        def _route(self, method: str, body: Any) -> None:
            at = urlsplit(self.path)
            _, _, endpoint, verb, *rest = at.path.split("/")
            of_worker = verb in ("job-take", "job-done", "ping", "job-stop")
            key = "worker-key" if of_worker else f"Bearer {KEY}"
            if self.headers.get("Authorization") != key:
                self._say(401, {"error": "unauthorized"})
            elif endpoint not in plane.endpoints:
                self._say(404, {"error": "endpoint not found"})
            elif verb == "run" and method == "POST":
                self._run(endpoint, body)
            elif verb == "cancel":
                known = plane.cancel(rest[0])
                self._say(200 if known else 404, {"id": rest[0], "status": "CANCELLED"})
            elif verb == "health":
                self._say(200, {"jobs": {"inQueue": 0}, "workers": {"idle": 1, "running": 0}})
            else:
                self._worker(endpoint, verb, rest, body, parse_qs(at.query))

        def _run(self, endpoint: str, body: Any) -> None:
            if plane.refuses is not None:
                self._say(plane.refuses, {"error": "not now"})
                return
            answer = plane.run(endpoint, body)
            if plane.garbled is not None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(plane.garbled)))
                self.end_headers()
                self.wfile.write(plane.garbled)
                return
            if plane.silent:
                time.sleep(POLL_S)
            self._say(200, answer)

        def _worker(
            self, endpoint: str, verb: str, rest: list[str], body: Any, query: dict[str, list[str]]
        ) -> None:
            worker = rest[0]
            if verb == "job-take":
                sent = plane.take(endpoint, worker)
                if sent is None:
                    self._say(204, None)
                else:
                    self._say(200, {"id": sent.id, "input": sent.input})
            elif verb == "job-done":
                plane.sent[rest[1]].told.append(body)
                self._say(200, {})
            elif verb == "ping":
                plane.pings.append((worker, query.get("job_id", [None])[0]))
                self._say(200, {})
            else:
                ids = plane.stops(worker, stopped.setdefault(worker, set()))
                stopped[worker] |= set(ids)
                self._say(200, {"jobsToStop": ids})

        def _say(self, status: int, body: Any) -> None:
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(ConnectionError):  # it has not waited
                self.wfile.write(content)

    return Handler

"""A loopback HTTP and WebSocket server that replays a recorded ComfyUI session, with faults."""

import base64
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.recordings import Recording

_CLOSE = b"\x88\x00"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class Faults:
    """What goes wrong. Counts say how often; the default is nothing."""

    lose_replies: int = 0
    """Apply the POST, then drop the connection without a reply."""
    drop_posts: int = 0
    """Drop the connection without applying the POST."""
    post_answer: tuple[int, str] | None = None
    """Answer POST /prompt with this instead; a 200 is applied as well."""
    reply_delay_s: float = 0.0
    """Between applying the POST and answering it."""
    swallow: bool = False
    """Take the prompt and forget it, as a deleted pending prompt looks."""
    drop_socket_after: int | None = None
    """Close the socket after this many frames, once; frames sent meanwhile are lost."""
    deaf: bool = False
    """Answer no ping."""
    mute_after: int | None = None
    """Send no frame after this many; the prompt goes on."""
    stall_after: int | None = None
    """The prompt itself stands still after this many frames, until interrupted."""
    ignore_interrupt: bool = False
    history_lag_s: float = 0.0
    garbage: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Path -> (status, body) to answer instead."""
    lost_files: bool = False
    extra_frames: list[str | bytes] = field(default_factory=list)
    """Sent after execution_start."""


@dataclass
class _Socket:
    connection: socket.socket
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, message: str | bytes) -> None:
        data = message.encode() if isinstance(message, str) else message
        head = bytes([0x81 if isinstance(message, str) else 0x82])
        if len(data) < 126:
            head += bytes([len(data)])
        elif len(data) < 1 << 16:
            head += struct.pack("!BH", 126, len(data))
        else:
            head += struct.pack("!BQ", 127, len(data))
        self.send_raw(head + data)

    def send_raw(self, data: bytes) -> None:
        with self.lock, suppress(OSError):  # as with the real server: sent while away is lost
            self.connection.sendall(data)

    def drop(self) -> None:
        with suppress(OSError):  # whoever dropped it before may have closed it
            self.connection.shutdown(socket.SHUT_RDWR)


class ReplayServer:
    """Answers every prompt with the recorded frames and history, under the poster's prompt_id."""

    def __init__(self, recording: Recording, faults: Faults | None = None, port: int = 0) -> None:
        self.recording = recording
        self.faults = faults or Faults()
        self.posts: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.interrupted: list[dict[str, Any]] = []
        self.sockets_opened = 0
        self.refused: set[str] = set()
        """Prompts that are answered with a 400."""
        self.bodies: dict[str, bytes] = {
            filename: f"the file {filename}".encode() for _, filename in recording.files
        }
        self._sockets: dict[str, _Socket] = {}
        self._running: dict[str, dict[str, Any]] = {}
        self._history: dict[str, tuple[float, dict[str, Any]]] = {}
        self._stop = threading.Event()
        self._interrupt = threading.Event()
        self._turn = threading.Lock()
        """One prompt after the other."""
        self._current: str | None = None
        self._threads: list[threading.Thread] = []
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._spawn(self._server.serve_forever, 0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Everything at once, as a killed process."""
        self._stop.set()
        self._interrupt.set()
        self._server.shutdown()
        self._server.close_everything()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5)

    def _spawn(self, target: Callable[..., object], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def drop_sockets(self) -> None:
        for each in self._sockets.values():
            each.drop()

    # -- what the handler calls

    def apply(self, body: dict[str, Any]) -> None:
        prompt_id, client_id = body["prompt_id"], body["client_id"]
        if self.faults.swallow:
            return
        self._running[prompt_id] = body
        self._spawn(self._play, prompt_id, client_id)

    def reply(self, prompt_id: str) -> dict[str, Any]:
        return {**self.recording.reply, "prompt_id": prompt_id}

    def queue(self) -> dict[str, Any]:
        known = [[0, prompt_id, {}, {}, []] for prompt_id in self._running]
        running = [item for item in known if item[1] == self._current]
        return {
            "queue_running": running,
            "queue_pending": [item for item in known if item not in running],
        }

    def delete(self, body: dict[str, Any]) -> None:
        for prompt_id in body.get("delete", ()):
            if prompt_id != self._current:
                self._running.pop(prompt_id, None)

    def history(self, prompt_id: str) -> dict[str, Any]:
        at, entry = self._history.get(prompt_id, (0.0, {}))
        return {prompt_id: entry} if entry and time.monotonic() >= at else {}

    def interrupt(self, body: dict[str, Any]) -> None:
        self.interrupted.append(body)
        if not self.faults.ignore_interrupt and body.get("prompt_id") == self._current:
            self._interrupt.set()

    def attach(self, client_id: str, connection: socket.socket) -> _Socket:
        self.sockets_opened += 1
        made = self._sockets[client_id] = _Socket(connection)
        made.send(
            json.dumps(
                {
                    "type": "status",
                    "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client_id},
                }
            )
        )
        for body in self._running.values():
            if body["client_id"] == client_id and self.sockets_opened > 1:
                made.send(json.dumps({"type": "executing", "data": {"node": "9"}}))
        return made

    # -- the prompt

    def _play(self, prompt_id: str, client_id: str) -> None:
        with self._turn:
            if prompt_id in self._running and not self._stop.is_set():
                self._current = prompt_id
                self._play_now(prompt_id, client_id)
                self._current = None

    def _play_now(self, prompt_id: str, client_id: str) -> None:
        self._interrupt.clear()
        self._await_socket(client_id)
        for number, (_, message) in enumerate(self.recording.frames[1:], start=1):
            if self._stop.is_set():
                return
            if number == self.faults.stall_after:
                self._interrupt.wait()
            if self._interrupt.is_set():
                break
            self._send(number, client_id, _renamed(message, self.recording.prompt_id, prompt_id))
            if isinstance(message, str) and '"execution_start"' in message:
                for extra in self.faults.extra_frames:
                    self._send(number, client_id, extra)
            if number == self.faults.drop_socket_after:
                self._sockets[client_id].drop()
                time.sleep(0.1)
            if isinstance(message, str) and '"execution_success"' in message:
                self._finish(prompt_id, self.recording.history)
        if self._stop.is_set():
            return
        if self._interrupt.is_set():
            data = {"prompt_id": prompt_id, "node_id": "9", "node_type": "KSampler", "executed": []}
            messages = [["execution_interrupted", data]]
            self._finish(
                prompt_id,
                {"outputs": {}, "status": {"status_str": "error", "messages": messages}},
            )
            self._send(0, client_id, json.dumps({"type": messages[0][0], "data": data}))
            end = {"type": "executing", "data": {"node": None, "prompt_id": prompt_id}}
            self._send(0, client_id, json.dumps(end))
        elif prompt_id in self._running:
            self._finish(prompt_id, self.recording.history)

    def _await_socket(self, client_id: str) -> None:
        """A client may post before the thread that shook hands with it has noted its socket."""
        until = time.monotonic() + 1.0
        while "GET /ws" in self.requests and client_id not in self._sockets:
            if time.monotonic() > until:
                return
            time.sleep(0.002)

    def _finish(self, prompt_id: str, history: dict[str, Any]) -> None:
        entry = _renamed(json.dumps(history), self.recording.prompt_id, prompt_id)
        assert isinstance(entry, str)
        at = time.monotonic() + self.faults.history_lag_s
        self._history[prompt_id] = (at, json.loads(entry))
        self._running.pop(prompt_id, None)

    def _send(self, number: int, client_id: str, message: str | bytes) -> None:
        muted = self.faults.mute_after is not None and number > self.faults.mute_after
        if not muted and (target := self._sockets.get(client_id)) is not None:
            target.send(message)


def _renamed(message: str | bytes, old: str, new: str) -> str | bytes:
    return message.replace(old, new) if isinstance(message, str) else message


def _pong(mask_and_data: bytes) -> bytes:
    mask, data = mask_and_data[:4], mask_and_data[4:]
    plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    return bytes([0x8A, len(plain)]) + plain


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_everything(self) -> None:
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def _handler(replay: ReplayServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            replay.requests.append(f"GET {url.path}")
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if url.path == "/ws":
                self._serve_socket(query["clientId"])
            elif url.path in replay.faults.garbage:
                self._answer(*replay.faults.garbage[url.path])
            elif url.path == "/queue":
                self._answer_json(replay.queue())
            elif url.path.startswith("/history/"):
                self._answer_json(replay.history(url.path.removeprefix("/history/")))
            elif url.path == "/view" and not replay.faults.lost_files:
                found = (query.get("subfolder", ""), query["filename"]) in replay.recording.files
                self._answer(200, replay.bodies[query["filename"]]) if found else self._answer(404)
            elif url.path == "/system_stats":
                self._answer_json({"system": {"comfyui_version": "0.8.0"}, "devices": []})
            else:
                self._answer(404)

        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            replay.requests.append(f"POST {path}")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if path in replay.faults.garbage:
                self._answer(*replay.faults.garbage[path])
            elif path == "/prompt":
                self._take_prompt(json.loads(body))
            elif path == "/queue":
                replay.delete(json.loads(body))
                self._answer(200)
            elif path == "/interrupt":
                replay.interrupt(json.loads(body))
                self._answer(200)
            elif path == "/upload/image":
                self._answer_json({"name": "face (1).png", "subfolder": "sub", "type": "input"})
            else:
                self._answer(200)

        def _take_prompt(self, body: dict[str, Any]) -> None:
            replay.posts.append(body)
            faults = replay.faults
            if faults.drop_posts > 0:
                faults.drop_posts -= 1
                self._hang_up()
                return
            if body["prompt_id"] in replay.refused:
                self._answer(400, b"{}")
                return
            if faults.post_answer is not None and faults.post_answer[0] != 200:
                self._answer(faults.post_answer[0], faults.post_answer[1].encode())
                return
            replay.apply(body)
            time.sleep(faults.reply_delay_s)
            if faults.lose_replies > 0:
                faults.lose_replies -= 1
                self._hang_up()
            elif faults.post_answer is not None:
                self._answer(200, faults.post_answer[1].encode())
            else:
                self._answer_json(replay.reply(body["prompt_id"]))

        def _answer_json(self, value: object) -> None:
            self._answer(200, json.dumps(value).encode())

        def _answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _serve_socket(self, client_id: str) -> None:
            key = self.headers["Sec-WebSocket-Key"].encode()
            accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", accept)
            self.end_headers()
            self.close_connection = True
            attached = replay.attach(client_id, self.connection)
            while head := self.rfile.read(2):
                mask_and_data = self.rfile.read((head[1] & 0x7F) + 4)
                if head[0] & 0x0F == 8:
                    attached.send_raw(_CLOSE)
                    return
                if head[0] & 0x0F == 9 and not replay.faults.deaf:
                    attached.send_raw(_pong(mask_and_data))

    return Handler

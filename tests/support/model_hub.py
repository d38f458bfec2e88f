"""A hub on loopback that answers as Hugging Face does: a redirect to a CDN, etags, gates, cuts."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40
TOKEN = "hf_accepted"


@dataclass
class HubFile:
    body: bytes
    gated: bool = False
    served: bytes | None = None
    """Other bytes than those that the etag is of."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next downloads are cut off."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass
class ModelHub:
    files: dict[str, HubFile] = field(default_factory=dict)
    """`owner/name/path` → file."""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    """Range headers of the downloads."""


@contextmanager
def model_hub() -> Iterator[ModelHub]:
    hub = ModelHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: ModelHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            if self.path.startswith("/cdn/"):
                self._serve(hub.files[self.path.removeprefix("/cdn/")])
                return
            found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
            if found is None:
                self._refuse(404, "RepoNotFound")
                return
            name = f"{found[1]}/{found[3]}"
            file = hub.files.get(name)
            if file is None:
                known = any(each.startswith(f"{found[1]}/") for each in hub.files)
                self._refuse(*((404, "EntryNotFound") if known else (401, "RepoNotFound")))
            elif found[2] not in ("main", COMMIT):
                self._refuse(404, "RevisionNotFound")
            elif file.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo")
            else:
                self._redirect(name, file)

        def _redirect(self, name: str, file: HubFile) -> None:
            self.send_response(302)
            # Another host than the hub's, as there: its redirects are followed, a CDN's are not.
            self.send_header("Location", f"{hub.url}/cdn/{name}".replace("127.0.0.1", "localhost"))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{file.sha256}"')
            self.send_header("X-Linked-Size", str(len(file.body)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _serve(self, file: HubFile) -> None:
            asked = self.headers.get("Range")
            assert self.command == "GET", "nobody asks the CDN for a file's facts"
            hub.ranges.append(asked)
            body = file.body if file.served is None else file.served
            begin = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - begin))
            self.end_headers()
            cut = file.cuts.pop(0) if file.cuts else None
            self.wfile.write(body[begin:][:cut])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)

        def handle(self) -> None:
            with suppress(ConnectionError):  # of a client that has seen enough
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    return Handler

"""Starts the stand-in: as a process of its own, or beside a test in a thread."""

import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Iterator

import uvicorn

from handlers.comfyui.standin.options import Options, parse
from handlers.comfyui.standin.routes import create_app
from workflows.own_interfaces import known

log = logging.getLogger("handlers.comfyui.standin")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = parse(sys.argv[1:])
    if options.ignored:
        log.info("The stand-in ignores %s", " ".join(options.ignored))
    with _listening(options) as listener:
        server = _server(options)
        log.info("Starting server\n")
        log.info("To see the GUI go to: http://%s:%d", *listener.getsockname()[:2])
        server.run(sockets=[listener])


@contextlib.contextmanager
def running(options: Options) -> Iterator[str]:
    """Serve in a thread of this process, and give the base URL."""
    with _listening(options) as listener:
        server = _server(options)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="comfyui-standin", daemon=True
        )
        thread.start()
        try:
            yield "http://{}:{}".format(*listener.getsockname()[:2])
        finally:
            server.should_exit = True
            thread.join(timeout=5)


def _server(options: Options) -> uvicorn.Server:
    app = create_app(options, known())
    return uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
    )


@contextlib.contextmanager
def _listening(options: Options) -> Iterator[socket.socket]:
    """A bound, listening socket, so that nobody is refused before the server accepts."""
    # The protocol is named because asyncio turns off Nagle's delay (40 ms a reply) only then.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.listen, options.port))
        listener.listen(128)
        yield listener

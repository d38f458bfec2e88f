"""moto as a store of the port, over HTTP.

Its conditional writes look first and act later. A lock around each request makes them atomic; that
they then are is ours, so a race proves something on a real server only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock, Thread
from typing import Any
from uuid import uuid4

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from config.settings import Settings
from pipeline.store.s3 import S3Store, connect


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def moto_store() -> Iterator[S3Store]:
    """A server in this process with a bucket of its own."""
    app = DomainDispatcherApplication(create_backend_app)
    lock = RLock()

    def serve(environ: Any, start_response: Any) -> list[bytes]:
        with lock:
            return list(app(environ, start_response))

    server = make_server("127.0.0.1", 0, serve, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    settings = Settings(
        bucket=f"moto-{uuid4().hex[:8]}",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        access_key_id="key",
        secret_access_key="secret",
    )
    try:
        client = connect(settings)
        client.create_bucket(Bucket=settings.bucket)
        client.close()
        yield S3Store(settings)
    finally:
        server.shutdown()
        server.server_close()

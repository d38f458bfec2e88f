"""A server for the clients: app, dispatcher and stand-in in threads, over a real store."""

import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import pytest
import structlog
import uvicorn
from pydantic import SecretStr

from config.settings import Settings
from events.sender import Sender
from events.sink import MemorySink
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.server import running
from pipeline.api.app import make_app
from pipeline.api.auth import hashed
from pipeline.api.dependencies import ApiDependencies, Timeouts
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.local.seaweed import SeaweedServer
from pipeline.notify.delivery import ResultDelivery
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import load_runtime
from pipeline.store.conditional import SafeStore, listed
from pipeline.store.open import open_store
from pipeline.worker.comfyui import ComfyServer
from pipeline.worker.context import WorkerContext
from tests.support.instant_comfyui import InstantEngine, worker_context
from tests.support.seaweed import fresh_bucket

KEY = "ryla_for-the-tests-of-the-clients"
PACE = Timeouts(look=0.1, first_look=0.05, job_listing=0.1)


class OneWorker:
    """Executes one job after the other in a thread."""

    def __init__(self, context: WorkerContext) -> None:
        self._engine = InstantEngine(context)
        self._pool = ThreadPoolExecutor(1)
        self._runs: list[Future[None]] = []
        self.free = Event()
        self.free.set()

    def submit(self, route: str, ref: SpawnPayload) -> None:
        self._runs.append(self._pool.submit(self._execute, route, ref))

    def _execute(self, route: str, ref: SpawnPayload) -> None:
        self.free.wait()
        self._engine.submit(route, ref)

    def cancel(self, call_id: str) -> None:
        pass

    def close(self) -> None:
        self._pool.shutdown()
        for run in self._runs:
            run.result()


@dataclass(frozen=True)
class Api:
    url: str
    key: str
    settings: Settings
    store: SafeStore
    worker: OneWorker

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The worker takes nothing meanwhile."""
        self.worker.free.clear()
        try:
            yield
        finally:
            self.worker.free.set()

    def jobs(self) -> int:
        """That were ever taken in."""
        return sum(entry.key.endswith("/manifest.json") for entry in listed(self.store, "jobs/"))

    def environ(self) -> dict[str, str]:
        """For the clients, and for those who go without HTTP."""
        secret = self.settings.secret_access_key
        assert secret is not None
        return {
            "RYLA_CLIENT_URL": self.url,
            "RYLA_CLIENT_KEY": self.key,
            "RYLA_BUCKET": self.settings.bucket,
            "AWS_ENDPOINT_URL": self.settings.endpoint_url or "",
            "AWS_DEFAULT_REGION": self.settings.region,
            "AWS_ACCESS_KEY_ID": self.settings.access_key_id or "",
            "AWS_SECRET_ACCESS_KEY": secret.get_secret_value(),
        }


@contextmanager
def serving(dependencies: ApiDependencies) -> Iterator[str]:
    """The app's URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(dependencies), log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def pipeline(settings: Settings, work_dir: Path) -> Iterator[tuple[ApiDependencies, OneWorker]]:
    """What the app is given, with a dispatcher and a worker behind it."""
    with ExitStack() as parts:
        standin = parts.enter_context(running(Options.under(work_dir, step_seconds=0)))
        comfy = ComfyServer(
            settings.model_copy(update={"comfyui_url": standin}), work_dir=work_dir, environ={}
        )
        parts.callback(comfy.stop)
        store, runtime = open_store(settings), load_runtime(settings, "local")
        sender = Sender(MemorySink())
        parts.callback(sender.close, 5)
        context = worker_context(
            store, ResultDelivery(store, sender, settings, lambda: 1.0), runtime, comfy
        )
        worker = OneWorker(context)
        parts.callback(worker.close)
        pool = parts.enter_context(ThreadPoolExecutor(4))
        wakeup = Wakeup()
        dispatcher = Dispatcher(store, worker, sender, runtime, pool, "dispatcher")
        thread = Thread(target=dispatch, args=(dispatcher, wakeup))
        thread.start()
        parts.callback(thread.join)
        parts.callback(wakeup.stop)
        yield (
            ApiDependencies(runtime, store, notify=lambda _: wakeup.notify(), timeouts=PACE),
            worker,
        )


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """None: the server is in this process, and stdout is the clients'."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="session")
def api(
    seaweed: SeaweedServer, packs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    settings = fresh_bucket(
        seaweed,
        folder,
        api_keys=SecretStr(f"acme:{hashed(KEY)}"),
        faces_dir=packs,
        poll_active_seconds=0.5,
        poll_idle_seconds=0.5,
        log_level="warning",
    )
    with pipeline(settings, folder) as (dependencies, worker), serving(dependencies) as url:
        yield Api(url, KEY, settings, dependencies.store, worker)

"""The worker of one route, in the four steps that every engine calls in the same order.

    load() ─ attach() ─ run(ref) … run(ref) ─ close()

On Modal these are a container's lifecycle methods; the local engine calls them in a child process.
"""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import structlog
from pydantic import ValidationError

from config.errors import RylaError
from config.settings import Settings
from config.tables import Gpu
from events.sender import Sender
from pipeline.bench import Bench, load_bench
from pipeline.connecting import open_store
from pipeline.errors import error_info
from pipeline.execution import Workshop, execute
from pipeline.faces import FaceShelf
from pipeline.queue.ref import Ref
from pipeline.settling import Settler
from pipeline.sinks import make_sink
from pipeline.store.conditional import SafeStore
from pipeline.studio import ComfyServer
from pipeline.supplying import Supplier, lora_cache, lora_folders

DRAIN_SECONDS = 20.0
"""How long close() waits for events to go out; what is left is replayed by the dispatcher."""


class Worker:
    def __init__(
        self,
        settings: Settings,
        route: str,
        *,
        engine: str,
        environ: Mapping[str, str],
        work_dir: Path,
    ) -> None:
        """`environ` is what ComfyUI's environment is chosen from, `work_dir` where it writes."""
        self._settings = settings
        self._route = route
        self._engine = engine
        self._environ = environ
        self._work_dir = work_dir
        self._born = time.monotonic()
        self._cold_s = 0.0
        self._stopping = Event()
        self._bench: Bench | None = None
        self._store: SafeStore | None = None
        self._sender: Sender | None = None
        self._server: ComfyServer | None = None
        self._shop: Workshop | None = None

    def load(self) -> None:
        """What needs no GPU and no running ComfyUI: tables, clients, the sender."""
        self._bench = load_bench(self._settings, self._engine)
        self._store = open_store(self._settings)
        self._sender = Sender(make_sink(self._settings))

    def attach(self) -> None:
        """Start ComfyUI and look at its device. Raises a ComfyError."""
        assert self._bench is not None
        assert self._store is not None
        assert self._sender is not None
        route = self._bench.routes.route(self._route)
        self._server = ComfyServer(
            self._settings,
            work_dir=self._work_dir,
            environ=self._environ,
            flags=route.comfyui_flags,
            lora_folders=lora_folders(self._settings, self._work_dir),
        )
        machine = self._server.start()
        self._shop = Workshop(
            store=self._store,
            settler=Settler(self._store, self._sender, self._settings),
            bench=self._bench,
            server=self._server,
            supplier=Supplier(
                self._store,
                lora_cache(self._settings, self._work_dir),
                self._settings.lora_prefix,
            ),
            faces=FaceShelf(self._settings),
            machine=machine,
            gpu=self._gpu(self._bench, machine.device),
            owner=f"{self._route}@{socket.gethostname()}:{os.getpid()}",
            stopping=self._stopping,
        )
        self._cold_s = time.monotonic() - self._born

    def run(self, ref: Mapping[str, Any], call_id: str | None = None) -> dict[str, Any]:
        """Execute one spawned job. Its lease and result tell what became of it."""
        assert self._shop is not None
        # The first job waited for this worker's start, and pays for it.
        cold_s, self._cold_s = self._cold_s, 0.0
        log = structlog.get_logger(__name__).bind(job=ref.get("id"))
        try:
            ending = execute(Ref.model_validate(ref), self._shop, call_id=call_id, cold_s=cold_s)
        except ValidationError as error:
            log.error("ref_unreadable", error=str(error))
            return {"id": ref.get("id"), "ending": "unreadable"}
        except RylaError as error:
            log.warning("not_executed", code=error.code, error=error.message)
            return {"id": ref.get("id"), "ending": "error", "error": error_info(error).model_dump()}
        log.info("executed", ending=ending.value)
        return {"id": ref.get("id"), "ending": ending.value}

    def interrupt(self) -> None:
        """Stop the running prompt and hand its job back. From any thread or signal handler."""
        self._stopping.set()

    def close(self) -> None:
        """Let the events out, then stop ComfyUI."""
        self._stopping.set()
        if self._sender is not None:
            self._sender.close(DRAIN_SECONDS)
        if self._server is not None:
            self._server.stop()

    def _gpu(self, bench: Bench, device: str) -> Gpu:
        named = self._settings.gpu
        return bench.gpus.identify(device) if named is None else bench.gpus.gpu(named)

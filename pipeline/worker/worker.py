"""The worker of one route, in the four steps that every engine calls in the same order.

    load() ─ attach() ─ run(payload) … run(payload) ─ close()

On Modal these are a container's lifecycle methods; the local engine calls them in a child process.

When the platform takes the machine it sends SIGINT. During run() that interrupts the prompt; the
lease is kept, and run() raises KeyboardInterrupt, after which the platform runs the same input
again: its start goes on as the next attempt. A job whose pictures are made already is committed
first, and run() returns as always. In load() and attach() the KeyboardInterrupt is Python's own.
Whoever calls run() outside the main thread calls preempt() instead of the signal. Afterwards `fit`
says that the worker takes no further job.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import structlog
from pydantic import ValidationError

from config.errors import ComfyError, RylaError
from config.routes import Route
from config.settings import Settings
from events.sender import Sender
from handlers.comfyui.info import ComfyInfo
from pipeline.contract.error_info import error_info
from pipeline.contract.lease import Lease
from pipeline.inputs.supplies import InputFetcher
from pipeline.loras.cache import Volume, lora_cache
from pipeline.models.face_packs import FaceModels
from pipeline.notify.delivery import ResultDelivery
from pipeline.notify.sinks import make_sink
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from pipeline.worker import gpu
from pipeline.worker.cold_start import WARM, ColdStart
from pipeline.worker.comfyui import ComfyServer
from pipeline.worker.context import WorkerContext
from pipeline.worker.execution import Ending, execute
from pipeline.worker.gpu import seen_gpu, speed_of
from pipeline.worker.preemption import noticed
from pipeline.worker.residency import Residency, capacity, shares
from pipeline.worker.setup import WorkerSetup, set_up
from system.process_start import IMPORTED_AT

DRAIN_SECONDS = 20.0
"""How long close() waits for events to go out; what is left is replayed by the dispatcher."""
PREEMPTED_DRAIN_SECONDS = 5.0
"""The same when the machine goes, whatever happens, within 30 s of its notice."""


class Worker:
    def __init__(
        self,
        settings: Settings,
        route: str,
        *,
        platform: str,
        environ: Mapping[str, str],
        work_dir: Path,
        loras: Volume | None = None,
        born: float | None = None,
        snapshot: bool = False,
        on_renewal: Callable[[Lease], None] = lambda _: None,
    ) -> None:
        """`environ` is what ComfyUI's environment is chosen from, `work_dir` where it writes.

        `loras` is the folder of LoRAs where other machines share it. `born` is when the process was
        born (system.process_start.born_at), if it is this worker's own: its cold start began then.
        With `snapshot` others start from what load() leaves in memory: ComfyUI is imported in it.
        `on_renewal` hears of the running job's lease, with its progress.
        """
        self.start_error: ComfyError | None = None
        self._settings = settings
        self._route = route
        self._platform = platform
        self._environ = environ
        self._work_dir = work_dir
        self._loras = loras
        self._snapshot = snapshot
        self._on_renewal = on_renewal
        now = time.monotonic()
        self._born, self._imported = (now, now) if born is None else (born, IMPORTED_AT)
        self._loaded = now
        self._cold = WARM
        self._stopping, self._preempted = Event(), Event()
        self._runtime: RuntimeConfig | None = None
        self._store: SafeStore | None = None
        self._sender: Sender | None = None
        self._setup: WorkerSetup | None = None
        self._context: WorkerContext | None = None

    def load(self) -> None:
        """What needs no GPU and no running ComfyUI: tables, clients, the sender. Raises
        InvalidSetting."""
        self._runtime = load_runtime(self._settings, self._platform)
        self._store = open_store(self._settings)
        self._sender = Sender(make_sink(self._settings))
        if self._snapshot:
            self._setup = self._set_up(self._runtime)
            self._setup.server.prepare()
        self._loaded = time.monotonic()

    def _set_up(self, runtime: RuntimeConfig) -> WorkerSetup:
        route = runtime.routes.route(self._route)
        return set_up(
            runtime,
            route,
            environ=self._environ,
            work_dir=self._work_dir,
            snapshot=self._snapshot,
        )

    def attach(self) -> None:
        """Start ComfyUI and look at its device, reading weights meanwhile.

        A ComfyUI that does not start ends nothing here: the jobs try once more, and each ends with
        the reason. `start_error` says it too.
        """
        assert self._runtime is not None
        assert self._store is not None
        assert self._sender is not None
        began = time.monotonic()  # a snapshot may lie between load() and this
        route = self._runtime.routes.route(self._route)
        self._setup = self._setup or self._set_up(self._runtime)
        self._setup.preload.start()
        comfy = self._started(self._setup.server)
        self._context = self._make_context(comfy, route, self._runtime, self._store, self._sender)
        self._cold = ColdStart(
            container=self._imported - self._born,
            imports=self._loaded - self._imported,
            comfyui=time.monotonic() - began,
        )

    def _started(self, server: ComfyServer) -> ComfyInfo:
        try:
            return server.start()
        except ComfyError as error:
            self.start_error = error
            structlog.get_logger(__name__).error(
                "comfyui_not_started",
                code=error.code,
                error=error.message,
                hint=error.hint,
                log_tail=error.log_tail,
            )
            return ComfyInfo("comfyui", None, gpu.gpu_name() or "unknown")

    def _make_context(
        self,
        comfy: ComfyInfo,
        route: Route,
        runtime: RuntimeConfig,
        store: SafeStore,
        sender: Sender,
    ) -> WorkerContext:
        assert self._setup is not None
        preload = self._setup.preload
        row = seen_gpu(runtime, route, comfy.device)
        speed = speed_of(route, row)
        room = capacity(comfy.memory_bytes, round(self._settings.gpu_reserve_gib * 2**30))
        return WorkerContext(
            store=store,
            delivery=ResultDelivery(store, sender, self._settings),
            runtime=runtime,
            server=self._setup.server,
            input_fetcher=InputFetcher(
                store,
                lora_cache(self._settings, self._work_dir, self._loras),
                self._settings.lora_prefix,
            ),
            faces=FaceModels(self._settings),
            comfy=comfy,
            gpu=row,
            owner=f"{self._route}@{socket.gethostname()}:{os.getpid()}",
            stopping=self._stopping,
            preempted=self._preempted,
            loads=self._setup.loads if comfy.is_comfyui else None,
            residency=Residency(self._setup.sizes, room, shares(speed)),
            speed=speed,
            preload=lambda: preload.report,
            on_renewal=self._on_renewal,
        )

    def run(self, payload: Mapping[str, Any], call_id: str | None = None) -> dict[str, Any]:
        """Execute one spawned job. Its lease and result tell what became of it; what is returned is
        for logs: `id`, and `ending`, one of Ending, `unreadable` or `error`.

        Raises KeyboardInterrupt for a job that the platform must run again elsewhere.
        """
        log = structlog.get_logger(__name__).bind(job=payload.get("id"))
        try:
            with noticed(self._notice):
                ending = self._execute(SpawnPayload.model_validate(payload), call_id)
        except ValidationError as error:
            log.error("ref_unreadable", error=str(error))
            return {"id": payload.get("id"), "ending": "unreadable"}
        except RylaError as error:
            log.warning("not_executed", code=error.code, error=error.message)
            return {
                "id": payload.get("id"),
                "ending": "error",
                "error": error_info(error).model_dump(),
            }
        log.info("executed", ending=ending.value)
        if ending is Ending.PREEMPTED:
            raise KeyboardInterrupt("the platform takes this machine")
        return {"id": payload.get("id"), "ending": ending.value}

    def _execute(self, payload: SpawnPayload, call_id: str | None) -> Ending:
        assert self._context is not None
        assert self._setup is not None
        self._setup.preload.only(self._setup.files_of(payload.model))
        cold = self._cold
        return execute(payload, self._context, call_id=call_id, cold=cold, on_start=self._paid)

    def _paid(self) -> None:
        """The first job waited for this worker's start; its lease has the price."""
        self._cold = WARM

    @property
    def fit(self) -> bool:
        """False when no further job should be given to it: its machine goes, or its ComfyUI does
        not come back and would fail one job after the other."""
        broken = self._setup is not None and self._setup.server.broken
        return not (broken or self._preempted.is_set() or self._stopping.is_set())

    def preempt(self) -> None:
        """Stop the running prompt and keep its job. From any thread or signal handler."""
        self._preempted.set()

    def _notice(self) -> bool:
        before = self._preempted.is_set()
        self.preempt()
        return before

    def interrupt(self) -> None:
        """Stop the running prompt and hand its job back. From any thread or signal handler."""
        self._stopping.set()

    def close(self) -> None:
        """Let the events out, then stop ComfyUI."""
        self._stopping.set()
        if self._setup is not None:
            self._setup.preload.stop()
        if self._sender is not None:
            quick = self._preempted.is_set()
            self._sender.close(PREEMPTED_DRAIN_SECONDS if quick else DRAIN_SECONDS)
        if self._setup is not None:
            self._setup.server.stop()

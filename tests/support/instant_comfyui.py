"""A worker that costs nothing: a ComfyUI that has every picture ready, and an engine without
processes. Everything between the two is the real thing."""

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from io import BytesIO
from typing import Any

from PIL import Image

from config.errors import ComfyError, EngineUnavailable
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.info import ComfyInfo
from handlers.kinds.base import OutputFile, PromptRun, Timings
from pipeline.inputs.supplies import InputFetcher
from pipeline.loras.cache import lora_cache
from pipeline.models.face_packs import FaceModels
from pipeline.notify.delivery import ResultDelivery
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import SafeStore
from pipeline.worker.comfyui import ComfyServer
from pipeline.worker.context import WorkerContext
from pipeline.worker.execution import Ending, execute

SIZE = 256


@cache
def picture(size: int = SIZE) -> bytes:
    file = BytesIO()
    Image.new("RGB", (size, size), (30, 60, 90)).save(file, "PNG")
    return file.getvalue()


class InstantClient(ComfyClient):
    """Answers every graph with the same picture, or with what `before` raises."""

    def __init__(self, before: Callable[..., None]) -> None:
        self._before = before
        self._picture = picture()
        self.prompts: list[Mapping[str, Any]] = []
        self.taken_back: list[str] = []

    def run(self, graph: Mapping[str, Any], **options: Any) -> PromptRun:
        self.prompts.append(graph)
        self._before(**options)
        files = [OutputFile("9", "image.png", self._picture)]
        return PromptRun(options["prompt_id"], files, Timings(load=1, sampling=2))

    def is_ahead(self, prompt_id: str) -> bool:
        return True

    def take_back(self, prompt_id: str) -> None:
        self.taken_back.append(prompt_id)

    def close(self) -> None:
        pass


def _at_once(**options: Any) -> None:
    """No delay and no error."""


class InstantServer(ComfyServer):
    def __init__(self, before: Callable[..., None] = _at_once) -> None:
        """`before` is called with the options of each run, and may wait or raise."""
        self.broken = False
        self.instant = InstantClient(before)

    def start(self) -> ComfyInfo:
        return ComfyInfo("standin", "0.8.0", "standin")

    def ensure_running(self) -> None:
        pass

    @property
    def attention(self) -> None:
        return None

    def clear(self, job_id: str, uploads: Iterable[str]) -> None:
        pass

    @property
    def client(self) -> ComfyClient:
        return self.instant

    def stop(self) -> None:
        pass


def failing(*errors: ComfyError | None) -> Callable[..., None]:
    """The first runs end so; those after them succeed."""
    coming = list(errors)

    def before(**options: Any) -> None:
        error = coming.pop(0) if coming else None
        if error is not None:
            raise error

    return before


def worker_context(
    store: SafeStore,
    delivery: ResultDelivery,
    runtime: RuntimeConfig,
    server: ComfyServer | None = None,
    *,
    gpu: str = "none",
    **changes: Any,
) -> WorkerContext:
    server = server or InstantServer()
    loras = lora_cache(runtime.settings, runtime.settings.state_dir)
    return WorkerContext(
        store=store,
        delivery=delivery,
        runtime=runtime,
        server=server,
        input_fetcher=InputFetcher(store, loras, runtime.settings.lora_prefix),
        comfy=ComfyInfo("standin", "0.8.0", "standin"),
        gpu=runtime.gpus.gpu(gpu),
        owner="worker",
        **{
            "stopping": threading.Event(),
            "faces": FaceModels(runtime.settings),
            **changes,
        },
    )


class InstantEngine:
    """Executes in the caller's thread."""

    def __init__(self, context: WorkerContext) -> None:
        self.context = context
        self.endings: list[Ending] = []

    def submit(self, route: str, payload: SpawnPayload) -> None:
        self.endings.append(execute(payload, self.context, call_id=None))

    def cancel(self, call_id: str) -> None:
        pass


class HoldingEngine:
    """Keeps what it is given. With `error` set, takes nothing."""

    def __init__(self) -> None:
        self.payloads: list[SpawnPayload] = []
        self.error: Exception | None = None

    def submit(self, route: str, payload: SpawnPayload) -> None:
        if self.error is not None:
            raise self.error
        self.payloads.append(payload)

    def cancel(self, call_id: str) -> None:
        pass


def away() -> EngineUnavailable:
    return EngineUnavailable("no worker to be had", hint="Wait.")

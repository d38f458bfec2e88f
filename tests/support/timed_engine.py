"""Workers whose jobs take a known time: threads that run the real execution, with a ComfyUI that
waits in place of drawing."""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

from handlers.comfyui.client import ComfyClient
from handlers.kinds.base import OutputFile, PromptRun, Timings
from handlers.kinds.registry import KINDS
from pipeline.costs import job_estimate
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import RuntimeConfig
from pipeline.worker.cold_start import WARM, ColdStart
from pipeline.worker.context import WorkerContext
from pipeline.worker.execution import execute
from tests.support.instant_comfyui import InstantServer, picture


class TimedServer(InstantServer):
    """Each picture takes `seconds`."""

    seconds = 0.0

    @property
    def client(self) -> ComfyClient:
        return _TimedClient(self)


class _TimedClient(ComfyClient):
    def __init__(self, server: TimedServer) -> None:
        self._server = server

    def run(self, graph: Mapping[str, Any], **options: Any) -> PromptRun:
        del graph
        time.sleep(self._server.seconds)
        files = [OutputFile("9", "image.png", picture())]
        return PromptRun(options["prompt_id"], files, Timings(sampling=self._server.seconds))

    def is_ahead(self, prompt_id: str) -> bool:
        del prompt_id
        return True

    def take_back(self, prompt_id: str) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class TimedEngine:
    """One route's workers, started and ended as `LocalEngine` does it. A picture takes `scale` of
    its estimate."""

    make_context: Callable[[TimedServer], WorkerContext]
    runtime: RuntimeConfig
    most: int
    start_s: float
    idle_s: float
    scale: float
    done_at: list[float] = field(default_factory=list)
    """On the monotonic clock, for each job."""
    held_s: float = 0.0
    """By all workers that have ended, from their start on."""
    starts: int = 0
    _changed: Condition = field(default_factory=Condition)
    _orders: deque[SpawnPayload] = field(default_factory=deque)
    _threads: list[Thread] = field(default_factory=list)
    _idle: int = 0
    _up: int = 0

    def submit(self, route: str, payload: SpawnPayload) -> None:
        del route
        with self._changed:
            self._orders.append(payload)
            if self._idle < len(self._orders) and self._up < self.most:
                self._up += 1
                self.starts += 1
                self._threads.append(Thread(target=self._work, daemon=True))
                self._threads[-1].start()
            self._changed.notify()

    def cancel(self, call_id: str) -> None:
        pass

    def wait_ended(self, timeout_s: float) -> None:
        """Until every worker has had nothing to do for `idle_s`."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _work(self) -> None:
        began = time.monotonic()
        server = TimedServer()
        context = self.make_context(server)
        time.sleep(self.start_s)
        cold = ColdStart(container=self.start_s)
        while (payload := self._next()) is not None:
            server.seconds = self._seconds_a_picture(payload)
            execute(payload, context, call_id=None, cold=cold)
            cold = WARM
            self.done_at.append(time.monotonic())
        with self._changed:
            self.held_s += time.monotonic() - began

    def _next(self) -> SpawnPayload | None:
        with self._changed:
            self._idle += 1
            there = self._changed.wait_for(lambda: self._orders, self.idle_s)
            self._idle -= 1
            self._up -= not there
            return self._orders.popleft() if there else None

    def _seconds_a_picture(self, payload: SpawnPayload) -> float:
        kind = KINDS[payload.model]
        request = kind.input_model.model_validate(json.loads(payload.manifest or "{}")["input"])
        gpu = self.runtime.gpus.gpu(self.runtime.routes.route(kind.route).gpus[0])
        found = job_estimate(kind, request, gpu, self.runtime.routes, self.runtime.gpus)
        assert found.seconds is not None
        return found.seconds * self.scale / kind.work(request).images

"""Our worker with a ComfyUI of its own on this machine, over a store in memory, and its times."""

import argparse
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from config.settings import Settings
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.process import ComfyProcess
from handlers.faces.boxes import Box, Face
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceUse
from handlers.kinds.base import PromptRun
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Result, Status
from pipeline.models.face_packs import FaceModels
from pipeline.queue.spawn import make_payload
from pipeline.store.base import Condition, Stored, Written
from pipeline.store.conditional import SafeStore, Won
from pipeline.store.memory import MemoryStore
from pipeline.worker import worker as worker_module
from pipeline.worker.worker import Worker
from tests.support.portraits import portrait
from workflows.node_pack import Speed

SIDE = 1024
SETTLE_SECONDS = 120.0
REFERENCE = "inputs/" + "0" * 64 + ".png"
SITTER = portrait({"sitter": Box(200, 120, 200, 200)})
"""A drawn person whom the micro face pack finds."""


@dataclass
class TimedStore(MemoryStore):
    """Notes how long the worker waits for its store."""

    seconds: float = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        with self._timed():
            return super().get(key, offset=offset, limit=limit)

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        with self._timed():
            return super().put(key, body, condition, content_type)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began


class MiddleFaces(FaceModels):
    """Noise has no face: one is said to be in the middle of each picture."""

    embedder = "none"
    embedder_sha256 = "0" * 64

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)

    def finder(self, use: FaceUse) -> Any:  # noqa: ARG002
        return self

    def calibration(self) -> Calibration | None:
        return None

    def find_faces(self, image: bytes) -> list[Face]:  # noqa: ARG002
        box = Box(SIDE // 2 - 150, SIDE // 2 - 200, 300, 400)
        points = ((450.0, 450.0), (574.0, 450.0), (512.0, 512.0), (462.0, 580.0), (562.0, 580.0))
        return [Face(box, 0.9, (1.0,), points)]


@dataclass
class Timed:
    """One job or prompt."""

    seconds: float
    """From the call to its return."""
    execution: float = 0.0
    """Of that, ComfyUI's: from the first node to the last, over all prompts."""
    store: float = 0.0
    parts: list[dict[str, float]] = field(default_factory=list)
    """Of each prompt, by kind of node."""

    @property
    def own(self) -> float:
        """The worker's own time."""
        return self.seconds - self.execution - self.store


class Bench:
    """A worker of the Flux route, or of InstantId, and what it is given."""

    def __init__(self, options: argparse.Namespace, folder: Path, route: str = "Flux") -> None:
        self.options = options
        self.store = TimedStore()
        self.safe = SafeStore(self.store)
        self.prompts: list[PromptRun] = []
        self.number = 0
        self.sampled: Mapping[str, int] = {}
        """Steps of the latest job, by how they were computed."""
        self.settings = Settings(
            state_dir=folder / "state",
            comfyui_dir=options.comfyui,
            comfyui_python=options.python,
            models_dir=options.weights,
            models_file=options.models_file,
            routes_file=options.routes_file,
            gpu=options.gpu,
            comfyui_forks=options.forks,
            log_level="error",
        )
        self.safe.create(REFERENCE, SITTER)
        began = time.perf_counter()
        with mock.patch.object(worker_module, "open_store", return_value=self.safe):
            self.worker = Worker(
                self.settings, route, platform="local", environ=os.environ, work_dir=folder
            )
            self.worker.load()
            self.worker.attach()
        self.start_s = time.perf_counter() - began
        context = self.worker._context
        if context is None:
            raise SystemExit("the worker did not start")
        self.worker._context = replace(context, faces=MiddleFaces(self.settings))
        self._listen(context.server.client)

    def _listen(self, client: ComfyClient) -> None:
        run = client.run

        def noted(*args: Any, **more: Any) -> PromptRun:
            self.prompts.append(run(*args, **more))
            return self.prompts[-1]

        client.run = noted  # type: ignore[method-assign]

    def job(self, model: str, **given: Any) -> Timed:
        """Run one job to its commit."""
        self.number += 1
        id = f"job-{self.number}"
        told = {"prompt": "a photograph of a red fox", "width": SIDE, "height": SIDE}
        manifest = {"version": 1, "model": model, "input": {**told, "seed": self.number, **given}}
        body = json.dumps(manifest).encode()
        now = datetime.now(UTC).replace(microsecond=0)
        lease = Lease(
            id=id,
            entry=f"inbox/{id}.json",
            model=model,
            tenant=None,
            attempt=1,
            claim=id,
            nonce=id,
            owner="benchmark",
            phase=Phase.CLAIMED,
            ttl_s=60,
            submitted_at=now,
        )
        self.safe.create(f"jobs/{id}/manifest.json", body)
        claimed = self.safe.create(f"leases/{id}.json", lease.body())
        assert isinstance(claimed, Won)
        payload = make_payload(lease, claimed.etag, model, body, now).model_dump(mode="json")
        self.prompts.clear()
        self.store.seconds = 0.0
        began = time.perf_counter()
        reply = self.worker.run(payload, "benchmark")
        seconds = time.perf_counter() - began
        self._require(id, reply)
        parts = [vars(prompt.timings) for prompt in self.prompts]
        execution = sum(prompt.timings.total for prompt in self.prompts)
        return Timed(seconds, execution, self.store.seconds, [dict(each) for each in parts])

    def settle(self) -> float:
        """Seconds until blocks are compiled, where they are to be: pictures go on meanwhile."""
        context = self.worker._context
        assert context is not None
        began = time.perf_counter()
        compiled = context.speed in (Speed.COMPILED, Speed.FP8)
        while compiled and context.speed.value not in self.sampled:
            if time.perf_counter() - began > SETTLE_SECONDS:
                break
            time.sleep(2.0)
            model = "flux-dev" if self.worker._route == "Flux" else "z-image-turbo"
            self.job(model, steps=4)
        return time.perf_counter() - began

    def _require(self, id: str, reply: Mapping[str, Any]) -> None:
        stored = self.safe.get(f"jobs/{id}/result.json")
        result = None if stored is None else Result.model_validate_json(stored.body)
        if result is not None and result.provenance is not None:
            self.sampled = result.provenance.sampled
        if result is None or result.status is not Status.SUCCEEDED:
            raise SystemExit(f"{id} did not succeed: {reply} {result and result.error}")

    @property
    def _comfyui(self) -> ComfyProcess:
        context = self.worker._context
        assert context is not None
        process = context.server._process
        assert process is not None
        return process

    @property
    def forked(self) -> bool:
        """Whether ComfyUI runs as a fork of the launcher."""
        return self._comfyui._launcher is not None

    def end_comfyui(self) -> None:
        assert self._comfyui.pid is not None
        os.kill(self._comfyui.pid, signal.SIGKILL)
        while self._comfyui.running:
            time.sleep(0.001)

    def revive_comfyui(self) -> None:
        self._comfyui.ensure_running()

    def close(self) -> None:
        self.worker.close()

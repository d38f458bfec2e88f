"""The running ComfyUI of a worker: started or found, asked what it is, and handed to handlers."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog

from config.settings import Settings
from handlers.base import PromptRun
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.process import ComfyProcess
from handlers.comfyui.standin import standin_folder
from handlers.faces.boxes import FaceFinder
from handlers.faces.measuring import FaceUse
from handlers.faces.scoring import Calibration
from pipeline.faces import FaceShelf
from workflows.graph import Graph

LET_GO_SECONDS = 5.0
"""How long a prompt that was given up may still hold ComfyUI when the next job comes."""


@dataclass(frozen=True)
class Machine:
    """What runs the graphs, as it says itself."""

    engine: str
    """`comfyui` or `standin`."""
    comfyui_version: str | None
    device: str

    @property
    def is_comfyui(self) -> bool:
        return self.engine == "comfyui"

    @classmethod
    def of(cls, stats: Mapping[str, Any]) -> "Machine":
        system, devices = stats.get("system", {}), stats.get("devices", [])
        return cls(
            engine=str(system.get("engine", "comfyui")),
            comfyui_version=system.get("comfyui_version"),
            device=str(devices[0].get("name", "unknown")) if devices else "unknown",
        )


class ComfyServer:
    """ComfyUI under supervision, or one that runs already, or the stand-in when none is named."""

    def __init__(
        self,
        settings: Settings,
        *,
        work_dir: Path,
        environ: Mapping[str, str],
        flags: tuple[str, ...] = (),
        lora_folders: Sequence[Path] = (),
    ) -> None:
        self._process: ComfyProcess | None = None
        self._settings = settings
        if settings.comfyui_url is None:
            folder = settings.comfyui_dir
            self._process = ComfyProcess(
                standin_folder() if folder is None else folder,
                work_dir=work_dir,
                environ=environ,
                flags=flags,
                extra_model_paths=_model_paths(work_dir, lora_folders) if lora_folders else None,
                ready_timeout_s=settings.comfyui_ready_seconds,
                python=str(settings.comfyui_python or sys.executable),
            )
        self._client: ComfyClient | None = None

    def start(self) -> Machine:
        """Start it if it is ours, and ask what it is. Raises a ComfyError."""
        if self._process is not None:
            self._process.start()
        return Machine.of(self.client.system_stats())

    def ensure_running(self) -> None:
        """Before a job: restarted once if it died, or still hangs in an earlier prompt.

        Raises ComfyDied or ComfyStartFailed.
        """
        if self._process is not None:
            self._process.ensure_running()
            if not self._falls_idle():
                structlog.get_logger(__name__).error("comfyui_hangs", restart=True)
                self._process.restart()

    def _falls_idle(self) -> bool:
        until = time.monotonic() + LET_GO_SECONDS
        while self.client.is_busy():
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    @property
    def client(self) -> ComfyClient:
        if self._client is None:
            process = self._process
            self._client = (
                ComfyClient(str(self._settings.comfyui_url))
                if process is None
                else ComfyClient(
                    process.url, output_folder=process.output_folder, log_tail=process.log_tail
                )
            )
        return self._client

    def stop(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None:
            self._process.stop()


def _model_paths(work_dir: Path, lora_folders: Sequence[Path]) -> Path:
    """The file that tells ComfyUI of further folders. JSON is YAML."""
    for folder in lora_folders:
        folder.mkdir(parents=True, exist_ok=True)
    work_dir.mkdir(parents=True, exist_ok=True)
    paths = {"ryla": {"loras": "\n".join(map(str, lora_folders))}}
    file = work_dir.absolute() / "model_paths.yaml"
    file.write_text(json.dumps(paths))
    return file


@dataclass(frozen=True)
class ComfyStudio:
    """The `Studio` of one execution."""

    client: ComfyClient
    shelf: FaceShelf
    report: Callable[[float, str | None], None]
    """Progress of the whole job, 0 to 1, and the node class that runs."""
    should_stop: Callable[[], bool]
    until: float
    """When the job must be done, on the monotonic clock."""
    paid_until: float = math.inf
    """When its budget is used up."""

    def render(self, graph: Graph, *, part: int, parts: int) -> PromptRun:
        return self.client.run(
            graph.api(),
            prompt_id=str(uuid4()),
            deadline_s=max(0.0, self.until - time.monotonic()),
            on_progress=lambda fraction, node: self.report((part + fraction) / parts, node),
            should_stop=self.should_stop,
            extra_data=graph.extra_data,
        )

    def upload(self, body: bytes, name: str) -> str:
        return self.client.upload_image(body, name)

    def faces(self, use: FaceUse) -> FaceFinder:
        return self.shelf.finder(use)

    def calibration(self) -> Calibration | None:
        return self.shelf.calibration()

    def has_time_for(self, seconds: float) -> bool:
        return time.monotonic() + seconds <= min(self.until, self.paid_until)

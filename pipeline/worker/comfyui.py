"""The running ComfyUI of a worker: started or found, asked what it is, and handed to handlers."""

import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import structlog

from config.errors import ComfyStartFailed
from config.settings import Settings
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.environment import allowed
from handlers.comfyui.info import ComfyInfo
from handlers.comfyui.process import ComfyProcess
from handlers.comfyui.prompt import Prompt
from handlers.comfyui.standin import standin_folder
from handlers.faces.boxes import FaceFinder
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceUse
from handlers.kinds.base import PromptRun
from pipeline.models.face_packs import FaceModels
from pipeline.worker.attention import AttentionProbe
from pipeline.worker.residency import Residency, beside
from workflows.graph import Graph
from workflows.node_pack import CLASSES, EVICTS, Attention, Speed, with_own_nodes

_PUT_AWAY = "put-away-"
"""Begins the name of a folder that is being deleted."""
LET_GO_SECONDS = 5.0
"""How long a prompt that was given up may still hold ComfyUI when the next job comes."""


class ComfyServer:
    """ComfyUI under supervision, or one that runs already, or the stand-in when none is named."""

    def __init__(
        self,
        settings: Settings,
        *,
        work_dir: Path,
        environ: Mapping[str, str],
        flags: tuple[str, ...] = (),
        model_paths: Path | None = None,
        on_gpu: bool = False,
        forks: bool = False,
    ) -> None:
        """`model_paths` names further folders of models, as comfyui_paths.py writes it; `on_gpu`
        insists on a GPU. With `forks` a ComfyUI of ours is imported once and forked."""
        self._process: ComfyProcess | None = None
        self._settings = settings
        self._on_gpu = on_gpu
        self._environ = environ
        self._flags = flags
        if settings.comfyui_url is None:
            folder = settings.comfyui_dir
            self._process = ComfyProcess(
                standin_folder() if folder is None else folder,
                work_dir=work_dir,
                environ=environ,
                flags=flags,
                extra_model_paths=model_paths,
                ready_timeout_s=settings.comfyui_ready_seconds,
                python=str(settings.comfyui_python or sys.executable),
                forks=forks and folder is not None,
            )
        self._client: ComfyClient | None = None
        self._has_own_nodes = False
        self._probe: AttentionProbe | None = None
        self._looked_at: int | None = None
        """The process that was seen to have the GPU that it must have."""
        self.broken = False
        """Whether it did not come up when a job last asked for it."""
        self._tidier = ThreadPoolExecutor(1, thread_name_prefix="clear")

    def prepare(self) -> None:
        """Import ComfyUI where there is no GPU yet, for `start` to fork it; nothing without
        forks. A failure is logged, and `start` is then a plain one."""
        if self._process is not None:
            self._process.prepare()

    def start(self) -> ComfyInfo:
        """Start it if it is ours, and ask what it is. Raises a ComfyError.

        A GPU that it must see, and did not at first, is looked for once more.
        """
        if self._process is not None:
            self._probe = self._probing()
            self._process.start()
        comfy = self._info()
        if self._misses_gpu(comfy) and self._process is not None:
            structlog.get_logger(__name__).error("no_gpu", device=comfy.device, restart=True)
            self._process.restart()
            comfy = self._info()
        self._require_gpu(comfy)
        self._looked_at = None if self._process is None else self._process.pid
        self._has_own_nodes = all(map(self.client.has_node, CLASSES))
        return comfy

    @property
    def attention(self) -> Attention | None:
        """Whose attention is faster on this card; None where ComfyUI lacks our own nodes."""
        if not self._has_own_nodes:
            return None
        return Attention.COMFYUI if self._probe is None else self._probe.choice

    def _probing(self) -> AttentionProbe | None:
        """None for the stand-in, and where ComfyUI is told to leave the GPU alone."""
        if self._settings.comfyui_dir is None or "--cpu" in self._flags:
            return None
        python = str(self._settings.comfyui_python or sys.executable)
        return AttentionProbe(python, allowed(self._environ))

    def ensure_running(self) -> None:
        """Before a job: restarted once if it died, or still hangs in an earlier prompt.

        It is asked only where the last prompt's socket does not tell already that it is well.
        Raises ComfyDied or ComfyStartFailed.
        """
        if self._process is None or self._is_well(self._process):
            return
        self.broken = True  # until it is seen to run
        self._revive(self._process)
        self.broken = False

    def _is_well(self, process: ComfyProcess) -> bool:
        """Whether it is the one that was looked at, nothing was left running in it, and it answers
        a ping. Costs no request."""
        looked_at = not self.broken and process.pid == self._looked_at
        return looked_at and process.running and self.client.is_in_touch()

    def _revive(self, process: ComfyProcess) -> None:
        process.ensure_running()
        if not self._falls_idle():
            structlog.get_logger(__name__).error("comfyui_hangs", restart=True)
            process.restart()
        if process.pid != self._looked_at:
            self._require_gpu(self._info())
            self._looked_at = process.pid

    def _info(self) -> ComfyInfo:
        return ComfyInfo.of(self.client.system_stats())

    def _misses_gpu(self, comfy: ComfyInfo) -> bool:
        return self._on_gpu and comfy.lacks_gpu

    def _require_gpu(self, comfy: ComfyInfo) -> None:
        if self._misses_gpu(comfy):
            raise ComfyStartFailed(
                f"ComfyUI sees no GPU, only {comfy.device!r}",
                hint="Does nvidia-smi see one here, and is its driver new enough for torch?",
                log_tail=() if self._process is None else self._process.log_tail(),
            )

    def _falls_idle(self) -> bool:
        until = time.monotonic() + LET_GO_SECONDS
        while self.client.is_busy():
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    @property
    def client(self) -> ComfyClient:
        """One client for all jobs, made when it is first asked for: the address of a process of
        ours is known once it has started."""
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

    def clear(self, job_id: str, uploads: Iterable[str]) -> None:
        """Remove a job's files, which nobody reads again, where the folders are ours.

        A worker may live for days, and its disk is small. Outputs are put away at once, so that
        another attempt finds none of them, and are deleted behind the job.
        """
        if self._process is None:
            return
        inputs = self._process.input_folder.resolve()
        for name in uploads:
            path = (inputs / name).resolve()
            if path.is_relative_to(inputs):
                path.unlink(missing_ok=True)
        away = self._process.output_folder / f"{_PUT_AWAY}{uuid4().hex}"
        with suppress(FileNotFoundError):
            (self._process.output_folder / "ryla" / job_id).rename(away)
            self._tidier.submit(shutil.rmtree, away, ignore_errors=True)

    def stop(self) -> None:
        self._tidier.shutdown()
        if self._client is not None:
            self._client.close()
        if self._probe is not None:
            self._probe.stop()
        if self._process is not None:
            self._process.stop()


@dataclass(frozen=True)
class ComfyGraphRunner:
    """The `GraphRunner` of one execution."""

    client: ComfyClient
    face_models: FaceModels
    report: Callable[[float, str | None], None]
    """Progress of the whole job, 0 to 1, and the node class that runs."""
    should_stop: Callable[[], bool]
    until: float
    """When the job must be done, on the monotonic clock."""
    paid_until: float = math.inf
    """When its budget is used up."""
    residency: Residency = field(default_factory=Residency.of_nothing)
    """Of the ComfyUI behind `client`."""
    attention: Attention | None = None
    """Of this card, where ComfyUI has our own nodes; None where it has not."""
    speed: Speed = Speed.STOCK
    """Of the route on this card; needs our own nodes."""
    given: list[Graph] = field(default_factory=list)
    """Graphs so far."""
    sampled: Counter[str] = field(default_factory=Counter)
    """Steps so far, by how they were computed."""
    uploads: list[str] = field(default_factory=list)
    """What was put among ComfyUI's inputs."""
    evicted: list[str] = field(default_factory=list)
    """Weight files that were let go for this job's."""
    monotonic: Callable[[], float] = time.monotonic
    _next: dict[int, Prompt] = field(default_factory=dict)
    """What ComfyUI was given ahead, by its part of the job."""

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        prompt = self._sent_ahead(part) or self._prompt(graph)
        self.given.append(graph)
        if then is not None:
            self._next[part + 1] = self._prompt(then)
        done = self.client.run(
            prompt.graph,
            prompt_id=prompt.id,
            deadline_s=max(0.0, self.until - self.monotonic()),
            on_progress=lambda fraction, node: self.report((part + fraction) / parts, node),
            should_stop=self.should_stop,
            extra_data=prompt.extra_data,
            beside=prompt.beside,
            then=self._next.get(part + 1),
        )
        for file in done.files:
            self.sampled.update({} if file.pixels is None else file.pixels.sampled)
        return done

    def _sent_ahead(self, part: int) -> Prompt | None:
        prompt = self._next.pop(part, None)
        if prompt is None or self.client.is_ahead(prompt.id):
            return prompt
        # It could not be sent, or nobody knows: the same id must not run twice.
        return replace(prompt, id=str(uuid4()))

    def _prompt(self, graph: Graph) -> Prompt:
        """To be asked for in the order in which ComfyUI runs them: each may let weights go."""
        choice = self.residency.choose(graph)
        own = self.attention
        sent = graph if own is None else with_own_nodes(graph, own, self.speed)
        self.evicted.extend(file for loader in choice.evicted for file in loader.files)
        return Prompt(
            sent.api(),
            str(uuid4()),
            extra_data={**graph.extra_data, **({EVICTS: True} if choice.evicted else {})},
            beside=beside(choice, sent, self._own_speed),
        )

    @property
    def _own_speed(self) -> Speed:
        return Speed.STOCK if self.attention is None else self.speed

    def close(self) -> None:
        """Nobody waits for what ComfyUI was given ahead."""
        for prompt in self._next.values():
            self.client.take_back(prompt.id)
        self._next.clear()

    def upload(self, body: bytes, name: str) -> str:
        self.uploads.append(self.client.upload_image(body, name))
        return self.uploads[-1]

    def faces(self, use: FaceUse) -> FaceFinder:
        return self.face_models.finder(use)

    def calibration(self) -> Calibration | None:
        return self.face_models.calibration()

    def has_time_for(self, seconds: float) -> bool:
        return self.monotonic() + seconds <= min(self.until, self.paid_until)

"""What an execution is given, and what it has brought about so far."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import random
from threading import Event
from uuid import uuid4

from config.gpus import Gpu
from events.stored_event import StoredEvent
from handlers.character_sheet.sheet import Stop
from handlers.comfyui.info import ComfyInfo
from handlers.kinds.base import Timings
from pipeline.contract.lease import Lease
from pipeline.contract.manifest import Manifest
from pipeline.contract.result import Output, UsedLora
from pipeline.inputs.supplies import InputFetcher
from pipeline.models.face_packs import FaceModels
from pipeline.models.loads import ModelLoads
from pipeline.models.preload import PreloadReport
from pipeline.notify.delivery import ResultDelivery
from pipeline.runtime import RuntimeConfig
from pipeline.sheets.cells import StoredSheet
from pipeline.sheets.end_files import NO_FILES, EndFiles
from pipeline.store.conditional import SafeStore
from pipeline.worker.comfyui import ComfyServer
from pipeline.worker.other_jobs import OtherJobs
from pipeline.worker.residency import Residency
from workflows.node_pack import Speed


@dataclass(frozen=True)
class WorkerContext:
    """The ports of an execution, and who executes."""

    store: SafeStore
    delivery: ResultDelivery
    runtime: RuntimeConfig
    server: ComfyServer
    input_fetcher: InputFetcher
    faces: FaceModels
    comfy: ComfyInfo
    """What ComfyUI said of itself when it started."""
    gpu: Gpu
    """The row of gpus.toml that is billed."""
    owner: str
    stopping: Event
    """Set when the worker must go: the running prompt is interrupted, the job handed back."""
    preempted: Event = field(default_factory=Event)
    """Set when the platform takes the machine: the running prompt is interrupted, the job kept."""
    loads: ModelLoads | None = None
    """Remembers which weights were loaded; None where no weights are."""
    residency: Residency = field(default_factory=Residency.of_nothing)
    """What ComfyUI keeps between this worker's jobs."""
    speed: Speed = Speed.STOCK
    """How this route is sampled on this card."""
    preload: Callable[[], PreloadReport] = PreloadReport
    """What was read ahead so far."""
    on_renewal: Callable[[Lease], None] = lambda _: None
    """Hears of the running job's lease each time it was renewed, with its progress."""
    nonce: Callable[[], str] = lambda: uuid4().hex
    others: OtherJobs = field(default_factory=OtherJobs)
    """Whether other jobs wait for this worker."""
    jitter: Callable[[], float] = random
    """A number from 0 to 1."""
    monotonic: Callable[[], float] = time.monotonic

    def must_stop(self) -> bool:
        """Whether the running prompt is to be interrupted, for either reason."""
        return self.stopping.is_set() or self.preempted.is_set()


@dataclass
class RenderState:
    """What an execution has brought about so far; what stands here when it fails was paid for."""

    manifest: Manifest | None = None
    seed: int | None = None
    """The job's; None until it is known."""
    outputs: list[Output] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)
    upload_s: float = 0.0
    """Checking, encoding and storing outputs, partly while others are made."""
    graphs: list[str] = field(default_factory=list)
    """sha256 of each graph that ran, in order."""
    models: dict[str, str | None] = field(default_factory=dict)
    """Weight file → sha256 where models.toml has one."""
    lora: UsedLora | None = None
    own_nodes: bool = False
    """Whether ComfyUI has our node pack."""
    sampled: dict[str, int] = field(default_factory=dict)
    """Steps by how they were computed."""
    steps: int = 0
    """That the graphs asked for."""
    step_cache: float = 0.0
    evicted: list[str] = field(default_factory=list)
    """Weight files that left the GPU's memory for this job's."""
    sheet: StoredSheet | None = None
    """Of a character sheet: what stands of it, by whichever execution."""
    stop: Stop | None = None
    """Why a sheet's execution ended between two steps; None when it took the last one."""
    end_files: EndFiles = NO_FILES
    """What is said of the sheet, beside its pictures."""
    events: list[StoredEvent] = field(default_factory=list)
    """Of this execution; they are owed even if it ends without a commit."""

"""How a job goes on that its execution does not end: handed back for another attempt, on a bigger
GPU after out of memory, or kept for the platform that takes the machine. Pure.
"""

from dataclasses import dataclass

from config.errors import OutOfMemory, PromptInterrupted, RylaError, Stopped
from config.gpus import Gpu, GpuTable
from config.routes import Route
from handlers.character_sheet.sheet import Stop
from pipeline.contract.lease import Lease
from pipeline.queue.spawn import SpawnPayload
from pipeline.worker.context import WorkerContext


@dataclass(frozen=True)
class Preempted:
    """The platform takes the machine, and runs the same input again."""


@dataclass(frozen=True)
class Retry:
    """The job is handed back for another attempt."""

    error: RylaError
    gpu: str | None
    """That it must then have; None leaves it to the route."""
    failed: bool = True
    """False where the worker had to end: that says nothing of the job, and is due at once."""


@dataclass(frozen=True)
class Halt:
    """The job is handed back because an operator has stopped it."""

    why: Stopped


@dataclass(frozen=True)
class MakeRoom:
    """The job is handed back between two of its steps, because others wait or its time is up."""


def decide_next(
    error: RylaError | None,
    lease: Lease,
    payload: SpawnPayload,
    context: WorkerContext,
    stop: Stop | None = None,
    halted: Stopped | None = None,
) -> Preempted | Retry | MakeRoom | Halt | None:
    """How a job goes on that this execution does not end; None when it ends here. `stop` is why a
    character sheet ended between two steps, `halted` is set where an operator has stopped the job:
    any other than a sheet is interrupted then."""
    if error is None and stop is Stop.YIELD:
        return MakeRoom() if halted is None else Halt(halted)
    if error is None or not error.retryable:
        return None
    if context.preempted.is_set():
        return Preempted()
    if halted is not None and isinstance(error, PromptInterrupted):
        return Halt(halted)
    if context.stopping.is_set():
        return Retry(error, lease.gpu, failed=False)
    if lease.failures + 1 >= context.runtime.settings.max_attempts:
        return None
    if isinstance(error, OutOfMemory) and payload.model == "workflow":
        return None  # what a caller's graph takes, it takes every time
    if isinstance(error, OutOfMemory) and context.runtime.deployed:
        larger = next_gpu(route_of(payload, context), context.gpu, context.runtime.gpus)
        return None if larger is None else Retry(error, larger)
    return Retry(error, lease.gpu)


def route_of(payload: SpawnPayload, context: WorkerContext) -> Route:
    """Raises InvalidSetting where no route runs the kind any more."""
    return context.runtime.routes.route(context.runtime.route_of(payload.model) or "")


def next_gpu(route: Route, gpu: Gpu, table: GpuTable) -> str | None:
    """The GPU for a job that found this one too small, as routes.toml names it.

    The first in order of preference that has more memory: the same amount would be used up again.
    None when there is none, or when nobody knows how much this one has.
    """
    if gpu.memory_gib is None:
        return None
    for name in route.gpus:
        memory_gib = table.gpu(name).memory_gib
        if memory_gib is not None and memory_gib > gpu.memory_gib:
            return name
    return None

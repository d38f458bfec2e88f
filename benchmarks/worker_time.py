"""The worker's own time for a warm job: run() less ComfyUI's execution and the store's calls, part
by part, on any machine.

    python -m benchmarks.worker_time [--quick] [--jobs N] [--images N] [--png] [--profile]

The worker is ours, over a store in memory; ComfyUI is the stand-in, or a real one with --comfyui.
The stand-in saves PNG, as foreign graphs do. Unless --png is given, its file is made what our own
node saves, bare pixels, before the worker reads it, and that time is nobody's.
"""

import argparse
import cProfile
import logging
import pstats
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from benchmarks.gpu_worker import Bench, TimedStore
from benchmarks.setting import goal, machine, row, title
from handlers.comfyui import outputs
from handlers.comfyui.replies import OutputRef, PixelsRef
from handlers.comfyui.session import PromptSession
from handlers.comfyui.transport import Transport
from handlers.comfyui.websocket import ComfySocket
from handlers.kinds.base import OutputFile
from handlers.media import images
from pipeline.notify.delivery import ResultDelivery
from pipeline.worker import execution, render
from pipeline.worker.comfyui import ComfyServer
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.result_builder import ResultBuilder
from pipeline.worker.uploads import Uploads

GOAL_MS = 15.0
WAITING = "frames, and waiting for them"
STORE = "store"
JOINING = "uploads: their thread"
NOBODYS = "made into pixels"
REST = "rest"

PARTS: Sequence[tuple[str, Any, str]] = (
    ("lease: start", execution, "_begin"),
    ("lease: heartbeat's thread", Heartbeat, "__enter__"),
    ("lease: heartbeat's thread", Heartbeat, "__exit__"),
    ("manifest", render, "parse_manifest"),
    ("socket: ping", ComfySocket, "is_answered"),
    ("does ComfyUI run?", ComfyServer, "ensure_running"),
    ("socket: open", ComfySocket, "open"),
    ("socket: close", ComfySocket, "close"),
    ("HTTP to ComfyUI", Transport, "send"),
    (WAITING, PromptSession, "_follow"),
    ("outcome, history", PromptSession, "_outcome"),
    ("encode, hash", images, "finish"),
    ("result", ResultBuilder, "result"),
    ("clear files", ComfyServer, "clear"),
    ("delivery", ResultDelivery, "deliver"),
    (JOINING, Uploads, "put"),
    (JOINING, Uploads, "__exit__"),
    (STORE, TimedStore, "put"),
    (STORE, TimedStore, "get"),
)
"""Name of a part, and the function whose own time it is: less that of the parts within."""


class Parts:
    """Seconds by part, of one job: those of the main thread, and of the thread of uploads what the
    main thread waits for."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._within: list[float] = []
        self._thread = threading.current_thread()
        self._waits: list[tuple[float, float]] = []
        self._beside: list[tuple[str, float, float]] = []

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **options: Any) -> Any:
            began = time.perf_counter()
            is_main = threading.current_thread() is self._thread
            if is_main:
                self._within.append(0.0)
            try:
                return call(*given, **options)
            finally:
                ended = time.perf_counter()
                if is_main:
                    self._note(name, began, ended)
                else:
                    self._beside.append((name, began, ended))

        return run

    def _note(self, name: str, began: float, ended: float) -> None:
        self.seconds[name] += ended - began - self._within.pop()
        if self._within:
            self._within[-1] += ended - began
        if name == JOINING:
            self._waits.append((began, ended))

    def of_job(self, bench: Bench, images: int) -> dict[str, float]:
        """Milliseconds; those of ComfyUI's execution are taken from the wait for its frames."""
        self.seconds.clear()
        self._waits.clear()
        self._beside.clear()
        whole = self.timed(REST, bench.worker.run)
        with mock.patch.object(bench.worker, "run", whole):
            job = bench.job("flux-dev", steps=4, num_images=images)
        self.seconds[WAITING] -= job.execution
        for first, last in self._waits:
            for name, began, ended in self._beside:
                waited = max(0.0, min(last, ended) - max(first, began))
                self.seconds[name] += waited
                self.seconds[JOINING] -= waited
        return {name: 1e3 * value for name, value in self.seconds.items()}


def pixels_of(parts: Parts, read_all: Callable[..., Sequence[OutputFile]]) -> Callable[..., Any]:
    """`read_all`, given pixels beside each PNG."""

    def given(refs: Iterable[OutputRef], folder: Path | None, *rest: Any) -> Any:
        assert folder is not None
        turned = parts.timed(NOBODYS, lambda: [_bare(ref, folder) for ref in refs])()
        return read_all(turned, folder, *rest)

    return given


def _bare(ref: OutputRef, folder: Path) -> OutputRef:
    if ref.pixels is not None:
        return ref
    image = images.pixels((folder / ref.subfolder / ref.filename).read_bytes())
    rgb = image.tobytes()
    told = PixelsRef(image.width, image.height, sha256(rgb).hexdigest())
    bare = replace(ref, filename=ref.filename.replace(".png", ".rgb"), pixels=told)
    (folder / bare.subfolder / bare.filename).write_bytes(rgb)
    return bare


def measure(options: argparse.Namespace) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    title(f"The worker's own time for a job of {options.images}, in ms ({machine()})")
    parts = Parts()
    with ExitStack() as patched, tempfile.TemporaryDirectory(prefix="ryla-bench-") as folder:
        bench = Bench(options, Path(folder))
        patched.callback(bench.close)
        for name, owner, function in PARTS:
            timed = parts.timed(name, getattr(owner, function))
            patched.enter_context(mock.patch.object(owner, function, timed))
        read_all = parts.timed("read, check", outputs.read_all)
        if not options.png:
            read_all = pixels_of(parts, read_all)
        patched.enter_context(mock.patch.object(outputs, "read_all", read_all))
        for _ in range(3):
            parts.of_job(bench, options.images)
        jobs = [parts.of_job(bench, options.images) for _ in range(options.jobs)]
        if options.profile:
            profile(bench)
    tell(jobs)


def tell(jobs: Sequence[dict[str, float]]) -> None:
    widths = (32, 9, 9)
    row("part", "median", "least", widths=widths)
    for name in sorted({name for job in jobs for name in job}):
        if name not in (STORE, NOBODYS):
            values = [job.get(name, 0.0) for job in jobs]
            row(name, f"{statistics.median(values):.2f}", f"{min(values):.2f}", widths=widths)
    own = [sum(v for name, v in job.items() if name not in (STORE, NOBODYS)) for job in jobs]
    middle = statistics.median(own)
    row("all", f"{middle:.2f}", f"{min(own):.2f}", widths=widths)
    goal(f"under {GOAL_MS:g} ms", met=middle <= GOAL_MS)


def profile(bench: Bench) -> None:
    profiler = cProfile.Profile()
    for _ in range(5):
        profiler.runcall(bench.job, "flux-dev", steps=4)
    pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(40)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=30, help="warm ones that are measured")
    parser.add_argument("--images", type=int, default=1, help="of a job")
    parser.add_argument("--png", action="store_true", help="leave what the stand-in saves")
    parser.add_argument("--profile", action="store_true", help="print a profile of five jobs")
    parser.add_argument("--comfyui", type=Path, help="folder of a real one")
    parser.add_argument("--python", type=Path, help="its Python")
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--models-file", type=Path, default=None)
    parser.add_argument("--routes-file", type=Path, default=None)
    parser.add_argument("--gpu", help="a row of gpus.toml, where none is recognised")
    parser.add_argument("--forks", action="store_true", help="start it by the launcher")
    parser.add_argument("--quick", action="store_true", help="fewer jobs")
    options = parser.parse_args(arguments)
    options.jobs = min(options.jobs, 10) if options.quick else options.jobs
    measure(options)


if __name__ == "__main__":
    main()

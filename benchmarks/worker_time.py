"""The worker's own time for a warm job: run() less ComfyUI's execution and the store's calls, part
by part, on any machine.

    python -m benchmarks.worker_time [--quick] [--jobs N] [--images N] [--picture NAME] [--profile]

The worker is ours, over a store in memory; ComfyUI is the stand-in, or a real one with --comfyui.
The stand-in saves PNG, as foreign graphs do, and `--picture png` leaves that. Else the file is made
what our own node saves, bare pixels, before the worker reads it, and that time is nobody's. Every
other job has its PNG deflated as it was before ISA-L, by zlib.
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
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from benchmarks.encoding import SIDE, packed_by_zlib, pictures
from benchmarks.gpu_worker import Bench, TimedStore
from benchmarks.setting import goal, machine, row, title
from handlers.comfyui import outputs
from handlers.comfyui.replies import OutputRef, PixelsRef
from handlers.comfyui.session import PromptSession
from handlers.comfyui.transport import Transport
from handlers.comfyui.websocket import ComfySocket
from handlers.kinds.base import OutputFile
from handlers.media import images, png_strips
from pipeline.notify.delivery import ResultDelivery
from pipeline.worker import execution, render
from pipeline.worker.comfyui import ComfyServer
from pipeline.worker.heartbeat import Heartbeat
from pipeline.worker.result_builder import ResultBuilder
from pipeline.worker.uploads import Uploads

GOAL_MS = 15.0
PICTURES = ("astronaut", "noise", "drawing", "png")
"""The first is a photograph that ships with scikit-image."""
WAITING = "frames, and waiting for them"
STORE = "store"
JOINING = "uploads: their thread"
NOBODYS = "made into pixels"
REST = "rest"
PROCESSOR = "processor, in all threads"
APART = (STORE, NOBODYS, PROCESSOR)
"""What is no part of the worker's own time."""

WIDTHS = (32, 9, 9, 9, 9)

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
    main thread waits for. Beside them the processor's, in all threads of this process."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._within: list[float] = []
        self._thread = threading.current_thread()
        self._waits: list[tuple[float, float]] = []
        self._beside: list[tuple[str, float, float]] = []
        self._apart = 0.0
        """The processor's seconds of what is no part of the worker's own time."""

    def timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **options: Any) -> Any:
            began, worked = time.perf_counter(), time.thread_time()
            is_main = threading.current_thread() is self._thread
            if is_main:
                self._within.append(0.0)
            try:
                return call(*given, **options)
            finally:
                ended = time.perf_counter()
                if name in APART:
                    self._apart += time.thread_time() - worked
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

    def of_job(self, bench: Bench, images: int, side: int) -> dict[str, float]:
        """Milliseconds; those of ComfyUI's execution are taken from the wait for its frames."""
        self.seconds.clear()
        self._waits.clear()
        self._beside.clear()
        self._apart = 0.0
        whole, worked = self.timed(REST, bench.worker.run), time.process_time()
        with mock.patch.object(bench.worker, "run", whole):
            job = bench.job("flux-dev", steps=4, num_images=images, width=side, height=side)
        self.seconds[PROCESSOR] = time.process_time() - worked - self._apart
        self.seconds[WAITING] -= job.execution
        for first, last in self._waits:
            for name, began, ended in self._beside:
                waited = max(0.0, min(last, ended) - max(first, began))
                self.seconds[name] += waited
                self.seconds[JOINING] -= waited
        return {name: 1e3 * value for name, value in self.seconds.items()}


class OwnNode:
    """Saves the bare pixels of one picture in the place of each file of the stand-in's."""

    def __init__(self, name: str, side: int) -> None:
        found = dict(pictures(())).get(name)
        if found is None:
            raise SystemExit(f"no picture {name!r}: is scikit-image installed?")
        self._rgb = found[:side, :side].tobytes()
        self._told = PixelsRef(side, side, sha256(self._rgb).hexdigest())

    def saves(
        self, parts: Parts, read_all: Callable[..., Sequence[OutputFile]]
    ) -> Callable[..., Any]:
        """`read_all`, given pixels beside each PNG."""

        def given(refs: Iterable[OutputRef], folder: Path | None, *rest: Any) -> Any:
            assert folder is not None
            bare = parts.timed(NOBODYS, lambda: [self._bare(ref, folder) for ref in refs])()
            return read_all(bare, folder, *rest)

        return given

    def _bare(self, ref: OutputRef, folder: Path) -> OutputRef:
        if ref.pixels is not None:
            return ref
        bare = replace(ref, filename=ref.filename.replace(".png", ".rgb"), pixels=self._told)
        (folder / bare.subfolder / bare.filename).write_bytes(self._rgb)
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
        if options.picture != "png":
            read_all = OwnNode(options.picture, options.side).saves(parts, read_all)
        patched.enter_context(mock.patch.object(outputs, "read_all", read_all))
        job = partial(parts.of_job, bench, options.images, options.side)
        for _ in range(3):
            job()
        jobs, before = [], []
        for _ in range(options.jobs):
            jobs.append(job())
            with mock.patch.object(png_strips, "_packed", packed_by_zlib):
                before.append(job())
        if options.profile:
            profile(bench)
    tell(jobs, before)


def tell(jobs: Sequence[dict[str, float]], before: Sequence[dict[str, float]]) -> None:
    """Each as medians and the least."""
    row("", "now", "", "zlib", "", widths=WIDTHS)
    row("part", *("median", "least") * 2, widths=WIDTHS)
    for job in (*jobs, *before):
        job["all"] = sum(value for name, value in job.items() if name not in APART)
    names = {name for job in jobs for name in job} - {STORE, NOBODYS, PROCESSOR, "all"}
    for name in (*sorted(names), "all", PROCESSOR):
        cells = []
        for each in (jobs, before):
            values = [job.get(name, 0.0) for job in each]
            cells += [f"{statistics.median(values):.2f}", f"{min(values):.2f}"]
        row(name, *cells, widths=WIDTHS)
    middle = statistics.median(job["all"] for job in jobs)
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
    parser.add_argument("--jobs", type=int, default=30, help="warm ones that are measured, of each")
    parser.add_argument("--images", type=int, default=1, help="of a job")
    parser.add_argument(
        "--side", type=int, default=SIDE, help="of a picture, at most so many pixels"
    )
    parser.add_argument("--picture", choices=PICTURES, default=PICTURES[0])
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

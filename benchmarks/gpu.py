"""Our worker on a GPU beside plain ComfyUI and the card's floor, in one run, on made-up weights.

    python -m benchmarks.gpu --comfyui DIR [--python PYTHON] [--weights DIR] [--json FILE]

The floor is the arithmetic of Flux alone: matrix products and attentions at 1024 x 1024, as fast
as torch does them while the card is as warm as in a picture. Plain is ComfyUI without flags and
stock nodes, which gets the same graphs. The worker is ours, from load() to close(), over a store in
memory. Pictures are noise, so nothing here speaks of quality; faces are looked for and none is.
"""

import argparse
import cProfile
import io
import json
import os
import pstats
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

from benchmarks import gpu_weights
from benchmarks.gpu_floor import card, sustained_step_s
from benchmarks.setting import row, title
from config.settings import Settings
from config.tables import load_models
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
from tests.comfyui.micro.make_models import make_faces
from tests.support.portraits import portrait
from workflows import flux

SIDE, STEPS = 1024, 20
SHORT_STEPS = 4
"""Of the fifty equal pictures whose pauses are looked at."""
REFERENCE = "inputs/" + "0" * 64 + ".png"


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

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.store = TimedStore()
        self.safe = SafeStore(self.store)
        self.prompts: list[PromptRun] = []
        self.number = 0
        self.settings = Settings(
            state_dir=folder / "state",
            comfyui_dir=options.comfyui,
            comfyui_python=options.python,
            models_dir=options.weights,
            models_file=options.models_file,
            routes_file=options.routes_file,
            gpu=options.gpu,
            log_level="error",
        )
        self.safe.create(REFERENCE, portrait({"sitter": Box(200, 120, 200, 200)}))
        began = time.perf_counter()
        with mock.patch.object(worker_module, "open_store", return_value=self.safe):
            self.worker = Worker(
                self.settings, "Flux", platform="local", environ=os.environ, work_dir=folder
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

    def _require(self, id: str, reply: Mapping[str, Any]) -> None:
        stored = self.safe.get(f"jobs/{id}/result.json")
        result = None if stored is None else Result.model_validate_json(stored.body)
        if result is None or result.status is not Status.SUCCEEDED:
            raise SystemExit(f"{id} did not succeed: {reply} {result and result.error}")

    def close(self) -> None:
        self.worker.close()


def face_job(bench: Bench, **given: Any) -> Timed:
    return bench.job("flux-instantid", reference_image=REFERENCE, **given)


def start_and_first(bench: Bench, made: dict[str, Any]) -> None:
    first = bench.job("flux-dev", steps=STEPS)
    made["start_to_first_picture_s"] = bench.start_s + first.seconds
    made["start_s"], made["first_picture_s"] = bench.start_s, first.seconds
    made["first_parts"] = first.parts


def warm(bench: Bench, made: dict[str, Any], floor_s: float) -> None:
    runs = [bench.job("flux-dev", steps=STEPS) for _ in range(8)]
    made["warm_flux_s"] = spread(each.seconds for each in runs)
    made["warm_flux_execution_s"] = spread(each.execution for each in runs)
    made["warm_flux_over_floor"] = middle(each.seconds for each in runs) / (STEPS * floor_s)
    made["worker_own_ms"] = spread(1e3 * each.own for each in runs)
    made["save_node_s"] = spread(each.parts[0]["other"] for each in runs)
    made["warm_parts"] = runs[-1].parts
    made["profile"] = profile(bench)


def profile(bench: Bench) -> list[str]:
    """Where the worker's thread spends its time in a short job."""
    profiler = cProfile.Profile()
    profiler.runcall(bench.job, "flux-dev", steps=1)
    out = io.StringIO()
    pstats.Stats(profiler, stream=out).sort_stats("tottime").print_stats(30)
    return out.getvalue().splitlines()


def pauses(bench: Bench, made: dict[str, Any], count: int) -> None:
    runs = [bench.job("flux-dev", steps=SHORT_STEPS) for _ in range(count)]
    times = sorted(each.seconds for each in runs)
    made["pause_over_median_s"] = times[-1] - statistics.median(times)
    made["short_s"] = spread(times)


def faces(bench: Bench, made: dict[str, Any]) -> None:
    made["first_face_job"] = vars(face_job(bench, steps=STEPS))
    runs = [face_job(bench, steps=STEPS) for _ in range(5)]
    composed = [each.parts[0] for each in runs]
    passes = [each.parts[1] for each in runs]
    made["face_job_s"] = spread(each.seconds for each in runs)
    made["composition_s"] = spread(sum_of(each) for each in composed)
    made["face_pass_s"] = spread(sum_of(each) for each in passes)
    made["face_pass_parts"] = passes[-1]
    made["face_job_loads_s"] = spread(
        a["load"] + b["load"] for a, b in zip(composed, passes, strict=True)
    )
    warm_two = middle(sum_of(each) for each in composed) + middle(sum_of(each) for each in passes)
    made["face_job_beyond_its_parts_s"] = middle(each.seconds for each in runs) - warm_two
    after = []
    for _ in range(3):
        face_job(bench, steps=STEPS)
        after.append(bench.job("flux-dev", steps=STEPS).seconds)
    made["flux_after_faces_s"] = spread(after)
    if "warm_flux_s" in made:
        made["flux_after_faces_beyond_warm_s"] = middle(after) - made["warm_flux_s"][1]


def sum_of(parts: Mapping[str, float]) -> float:
    return sum(value for name, value in parts.items() if name != "first_step")


def plain(options: argparse.Namespace, folder: Path, made: dict[str, Any]) -> None:
    """ComfyUI without flags: start, first and warm pictures of the same graph."""
    weights = {
        role: each.file
        for role, each in load_models(options.models_file).weights("flux-dev").items()
    }
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "plain.yaml"
    paths.write_text(json.dumps({"made": {"base_path": str(options.weights), **FOLDERS}}))
    flags = tuple(options.plain_flags.split())
    process = ComfyProcess(
        options.comfyui,
        work_dir=folder,
        environ=os.environ,
        python=str(options.python),
        flags=flags,
        extra_model_paths=paths,
    )
    with process, ComfyClient(process.url, output_folder=process.output_folder) as client:
        made["plain_start_s"] = time.perf_counter() - began

        def one(seed: int, steps: int = STEPS) -> float:
            graph = flux.text_to_image(
                weights,
                prompt="a photograph of a red fox",
                width=SIDE,
                height=SIDE,
                steps=steps,
                guidance=3.5,
                seed=seed,
                filename_prefix=f"plain-{seed}-{steps}",
            )
            at = time.perf_counter()
            client.run(graph.api(), prompt_id=str(uuid4()), deadline_s=300)
            return time.perf_counter() - at

        made["plain_first_picture_s"] = one(1)
        made["plain_warm_flux_s"] = spread(one(seed) for seed in range(2, 8))
        times = sorted(one(seed, SHORT_STEPS) for seed in range(10, 30))
        made["plain_pause_over_median_s"] = times[-1] - statistics.median(times)


FOLDERS = {
    name: name
    for name in (
        "diffusion_models",
        "text_encoders",
        "vae",
        "checkpoints",
        "controlnet",
        "instantid",
    )
}


def spread(values: Iterable[float]) -> tuple[float, float, float, int]:
    """Least, median, most, and how many."""
    found = sorted(values)
    return found[0], statistics.median(found), found[-1], len(found)


def middle(values: Iterable[float]) -> float:
    return statistics.median(list(values))


GOALS: Mapping[str, tuple[str, float]] = {
    "face_job_beyond_its_parts_s": ("flux-instantid beyond its two parts, s", 0.5),
    "flux_after_faces_beyond_warm_s": ("a picture after another kind, beyond warm, s", 0.5),
    "start_to_first_picture_s": ("process start to first picture, s", 20.0),
    "pause_over_median_s": ("longest pause over the median of 50, s", 0.05),
    "save_node_s": ("saving, s of ComfyUI's clock", 0.03),
    "worker_own_ms": ("the worker's own time, ms", 15.0),
    "face_pass_s": ("face pass, warm, s", 2.0),
    "warm_flux_over_floor": ("warm Flux picture over the floor", 1.43),
}


def told(made: Mapping[str, Any]) -> None:
    title(f"One {made['card']}, {made['date']}, ComfyUI {made['comfyui']}, made-up weights")
    widths = (46, 10, 8, 10)
    row("", "measured", "goal", "plain", widths=widths)
    beside = {
        "start_to_first_picture_s": lambda: made["plain_start_s"] + made["plain_first_picture_s"],
        "pause_over_median_s": lambda: made["plain_pause_over_median_s"],
        "warm_flux_over_floor": lambda: (
            made["plain_warm_flux_s"][1] / (STEPS * made["floor_step_s"])
        ),
    }
    for name, (words, goal) in GOALS.items():
        if name not in made:
            continue
        value = made[name][1] if isinstance(made[name], tuple) else made[name]
        other = beside[name]() if name in beside and "plain_start_s" in made else None
        row(
            words,
            f"{value:.3f}",
            f"{goal:g}",
            "" if other is None else f"{other:.3f}",
            widths=widths,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options().parse_args(arguments)
    folder = Path(options.work).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    groups: Sequence[str] = options.groups.split(",")
    if not options.micro:
        began = time.perf_counter()
        size = gpu_weights.make(options.weights)
        print(f"{size / 1e9:.1f} GB of weights in {time.perf_counter() - began:.0f} s", flush=True)
        make_faces(options.comfyui)
    step = sustained_step_s()
    made: dict[str, Any] = {
        "card": card(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "floor_step_s": step,
        "python": sys.version.split()[0],
    }

    def saved() -> None:
        _save(options.json, made)

    bench = Bench(options, folder / "worker")
    context = bench.worker._context
    assert context is not None
    made["comfyui"], made["device"] = context.comfy.comfyui_version, context.comfy.device
    made["own_nodes"], made["attention"] = (
        context.server.attention is not None,
        context.server.attention,
    )
    try:
        start_and_first(bench, made)
        saved()
        for group in groups:
            print(f"{group} …", flush=True)
            if group == "warm":
                warm(bench, made, step)
            elif group == "faces":
                faces(bench, made)
            elif group == "pauses":
                pauses(bench, made, options.pictures)
            saved()
    finally:
        bench.close()
    if "plain" in groups:
        plain(options, folder / "plain", made)
        saved()
    told(made)


def _save(path: Path | None, made: Mapping[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(made, indent=1, default=str))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--comfyui", type=Path, required=True, help="its folder")
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="ComfyUI's Python"
    )
    parser.add_argument("--weights", type=Path, help="made here once; beside ComfyUI by default")
    parser.add_argument("--work", default="out/gpu", help="where outputs go")
    parser.add_argument("--json", type=Path, help="where the figures go too")
    parser.add_argument("--groups", default="warm,faces,pauses,plain", help="in this order")
    parser.add_argument("--pictures", type=int, default=50, help="whose pauses are looked at")
    parser.add_argument("--gpu", help="a row of gpus.toml, where none is recognised")
    parser.add_argument("--micro", action="store_true", help="take the micro models of the tests")
    parser.add_argument("--models-file", type=Path, default=None)
    parser.add_argument("--routes-file", type=Path, default=None)
    parser.add_argument("--plain-flags", default="", help="of the plain ComfyUI")
    return parser


if __name__ == "__main__":
    main()

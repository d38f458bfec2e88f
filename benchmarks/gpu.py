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
import pstats
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import gpu_weights
from benchmarks.gpu_floor import card, sustained_step_s
from benchmarks.gpu_plain import plain, spread
from benchmarks.gpu_worker import REFERENCE, Bench, Timed
from benchmarks.setting import row, title
from tests.comfyui.micro.make_models import make_faces

STEPS = 20
SHORT_STEPS = 4
"""Of the fifty equal pictures whose pauses are looked at."""


def face_job(bench: Bench, **given: Any) -> Timed:
    return bench.job("flux-instantid", reference_image=REFERENCE, **given)


def start_and_first(bench: Bench, made: dict[str, Any]) -> None:
    first = bench.job("flux-dev", steps=STEPS)
    made["start_to_first_picture_s"] = bench.start_s + first.seconds
    made["start_s"], made["first_picture_s"] = bench.start_s, first.seconds
    made["first_parts"] = first.parts


def warm(bench: Bench, made: dict[str, Any], floor_s: float) -> None:
    made["settled_s"] = bench.settle()
    runs = [bench.job("flux-dev", steps=STEPS) for _ in range(8)]
    made["warm_sampled"] = bench.sampled
    made["warm_flux_s"] = spread(each.seconds for each in runs)
    made["warm_flux_execution_s"] = spread(each.execution for each in runs)
    made["warm_flux_over_floor"] = middle(each.seconds for each in runs) / (STEPS * floor_s)
    made["worker_own_ms"] = spread(1e3 * each.own for each in runs)
    made["save_node_s"] = spread(each.parts[0]["other"] for each in runs)
    made["warm_decode_s"] = spread(each.parts[0]["decode"] for each in runs)
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


def restarts(bench: Bench, made: dict[str, Any]) -> None:
    """ComfyUI ended between two jobs: until it answers, and until the next picture is stored. With
    `--forks` it is the imported process that the second counts from."""
    answered, stored = [], []
    for _ in range(3):
        bench.end_comfyui()
        began = time.perf_counter()
        bench.revive_comfyui()
        answered.append(time.perf_counter() - began)
        bench.job("flux-dev", steps=STEPS)
        stored.append(time.perf_counter() - began)
    made["forked"] = bench.forked
    made["restart_s"], made["restart_to_picture_s"] = spread(answered), spread(stored)


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


def loras(bench: Bench, made: dict[str, Any]) -> None:
    """A to B, B to A and off, each beyond the median of pictures whose LoRA stays."""
    for name, body in gpu_weights.loras().items():
        bench.safe.create(f"loras/{name}.safetensors", body)
    bench.job("flux-lora", steps=STEPS, lora_name=gpu_weights.LORAS[0])
    bench.job("flux-lora", steps=STEPS, lora_name=gpu_weights.LORAS[1])
    stays = [
        bench.job("flux-lora", steps=STEPS, lora_name=gpu_weights.LORAS[1]).seconds
        for _ in range(4)
    ]
    switched = [
        bench.job("flux-lora", steps=STEPS, lora_name=gpu_weights.LORAS[at % 2]).seconds
        for at in range(8)
    ]
    off = [bench.job("flux-dev", steps=STEPS).seconds for _ in range(2)]
    made["lora_stays_s"], made["lora_switched_s"] = spread(stays), spread(switched)
    made["lora_off_s"] = off
    made["lora_switch_beyond_warm_s"] = middle(switched) - middle(stays)


SIZES = ((832, 1216), (1216, 832), (768, 1344), (1152, 896))


def shapes(bench: Bench, made: dict[str, Any]) -> None:
    """The first picture of each new size, beyond the second."""
    beyond = []
    for width, height in SIZES:
        first, second = (
            bench.job("flux-dev", steps=STEPS, width=width, height=height).seconds for _ in range(2)
        )
        beyond.append(first - second)
    made["new_shape_beyond_second_s"] = beyond


def few(bench: Bench, made: dict[str, Any]) -> None:
    """Four steps, as Schnell takes: of dev, whose arithmetic is the same but for the guidance."""
    made["four_steps_s"] = spread(bench.job("flux-dev", steps=4).seconds for _ in range(8))


def step_cache(bench: Bench, made: dict[str, Any]) -> None:
    """As many steps left out as may be: how many are with weights of a model, nobody knows here."""
    made["step_cache_settled_s"] = bench.settle()
    runs = [bench.job("flux-dev", steps=STEPS, step_cache=1.0).seconds for _ in range(8)]
    made["step_cache_s"], made["step_cache_sampled"] = spread(runs), bench.sampled


def z_image(bench: Bench, made: dict[str, Any]) -> None:
    made["z_image_first_s"] = [bench.job("z-image-turbo", steps=8).seconds for _ in range(2)]
    bench.settle()
    made["z_image_s"] = spread(bench.job("z-image-turbo", steps=8).seconds for _ in range(8))
    made["z_image_sampled"] = bench.sampled


def sum_of(parts: Mapping[str, float]) -> float:
    return sum(value for name, value in parts.items() if name != "first_step")


def middle(values: Iterable[float]) -> float:
    return statistics.median(list(values))


GROUPS: Mapping[str, Callable[[Bench, dict[str, Any]], None]] = {
    "faces": faces,
    "few": few,
    "loras": loras,
    "restarts": restarts,
    "shapes": shapes,
    "step-cache": step_cache,
    "z-image": z_image,
}
GOALS: Mapping[str, tuple[str, float]] = {
    "face_job_beyond_its_parts_s": ("flux-instantid beyond its two parts, s", 0.5),
    "flux_after_faces_beyond_warm_s": ("a picture after another kind, beyond warm, s", 0.5),
    "start_to_first_picture_s": ("process start to first picture, s", 20.0),
    "restart_to_picture_s": ("restart of ComfyUI to the next picture, s", 8.0),
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
        "face_pass_s": lambda: made["plain_face_s"][1],
        "flux_after_faces_beyond_warm_s": lambda: (
            made["plain_flux_after_face_s"][1] - made["plain_warm_flux_s"][1]
        ),
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
        size = gpu_weights.make(options.weights, options.sets.split(","))
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

    bench = Bench(options, folder / "worker", options.route)
    context = bench.worker._context
    assert context is not None
    made["comfyui"], made["device"] = context.comfy.comfyui_version, context.comfy.device
    made["dynamic_vram"] = context.runtime.routes.route(options.route).dynamic_vram
    made["own_nodes"], made["attention"] = (
        context.server.attention is not None,
        context.server.attention,
    )
    try:
        if options.route == "Flux":
            start_and_first(bench, made)
        saved()
        for group in groups:
            print(f"{group} …", flush=True)
            if group == "warm":
                warm(bench, made, step)
            elif group == "pauses":
                pauses(bench, made, options.pictures)
            elif group in GROUPS:
                GROUPS[group](bench, made)
            saved()
    finally:
        bench.close()
    if "plain" in groups:
        made |= plain(options, folder / "plain", STEPS, SHORT_STEPS)
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
    parser.add_argument("--sets", default="flux,faces", help="which weights: flux, faces, z-image")
    parser.add_argument("--route", default="Flux", help="whose worker")
    parser.add_argument("--work", default="out/gpu", help="where outputs go")
    parser.add_argument("--json", type=Path, help="where the figures go too")
    parser.add_argument(
        "--groups", default="warm,faces,pauses,plain", help="in this order; restarts too"
    )
    parser.add_argument("--pictures", type=int, default=50, help="whose pauses are looked at")
    parser.add_argument("--gpu", help="a row of gpus.toml, where none is recognised")
    parser.add_argument("--forks", action="store_true", help="start ComfyUI by the launcher")
    parser.add_argument("--micro", action="store_true", help="take the micro models of the tests")
    parser.add_argument("--models-file", type=Path, default=None)
    parser.add_argument("--routes-file", type=Path, default=None)
    parser.add_argument("--plain-flags", default="", help="of the plain ComfyUI")
    return parser


if __name__ == "__main__":
    main()

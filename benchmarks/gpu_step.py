"""One step of Flux in ComfyUI's own code at each speed: time, error against 32 bits, and LoRAs.

    python -m benchmarks.gpu_step --comfyui DIR --weights DIR [--json FILE] [--micro]

The weights are those that benchmarks.gpu makes, so the error tells of arithmetic and not of
pictures. 1024 x 1024, 256 tokens of text. ComfyUI is imported into this process. With --micro it
goes through the same on a model as small as in the tests, also on a processor.
"""

import argparse
import gc
import json
import logging
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu_weights
from benchmarks.gpu_floor import card, sustained_step_s
from benchmarks.gpu_step_loras import merging
from benchmarks.setting import row, title
from handlers.comfyui.node_pack import model_loader
from handlers.comfyui.node_pack.attention_order import ATTENTION_ORDER
from handlers.comfyui.node_pack.compiled_blocks import COMPILE_THREAD, OVERRIDE
from handlers.comfyui.node_pack.model_options import torch_attention
from handlers.comfyui.node_pack.sampled import SAMPLED, Speed
from handlers.comfyui.node_pack.step_graphs import on_card

FILE = "diffusion_models/flux1-dev.safetensors"
ROUNDS = 8
SPEEDS = (Speed.EAGER, Speed.COMPILED, Speed.FP8)
WIDTHS = (10, 8, 12, 8, 11, 10, 10, 8)


@dataclass(frozen=True)
class Setting:
    path: Path
    device: torch.device
    side: int
    """Of the latent."""
    text: int
    """Tokens."""
    wait_s: float
    """Longest that blocks may be compiled; what is measured then is what there is."""


def inputs(model: Any, setting: Setting, dtype: Any) -> dict[str, Any]:
    """What a step of Flux dev is given: latent, time, text, and the rest by name."""
    generator = torch.Generator(setting.device).manual_seed(1)
    sizes = model.model.diffusion_model.params

    def drawn(*shape: int) -> Any:
        made = torch.randn(shape, device=setting.device, generator=generator)
        return made.to(dtype)

    return {
        "x": drawn(1, 16, setting.side, setting.side),
        "timestep": torch.full((1,), 0.7, device=setting.device),
        "context": drawn(1, setting.text, sizes.context_in_dim),
        "y": drawn(1, sizes.vec_in_dim),
        "guidance": torch.full((1,), 3.5, device=setting.device),
    }


def reference(setting: Setting) -> Any:
    """The output in 32 bits; the model is let go again."""
    model = model_loader.load(setting.path, Speed.EAGER)
    diffusion = model.model.diffusion_model.float()
    diffusion.dtype = torch.float32
    given = inputs(model, setting, torch.float32)
    out = diffusion(**given, transformer_options={OVERRIDE: torch_attention})
    del model, diffusion
    let_go()
    return out


def let_go() -> None:
    gc.collect()
    import_module("comfy.model_management").soft_empty_cache()


def step(model: Any, given: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """One call of the diffusion model, through the wrapper that picks the speed."""
    (wrapper,) = model.wrappers["apply_model"][model_loader.KEY]

    def call(*_: Any) -> Any:
        return model.model.diffusion_model(**given, transformer_options=dict(options))

    return wrapper(call, None, None, None, None, None, dict(options))


def measured(model: Any, setting: Setting, right: Any) -> dict[str, Any]:
    options = {OVERRIDE: torch_attention}
    given = inputs(model, setting, model.model.diffusion_model.img_in.weight.dtype)

    def run() -> Any:
        out = step(model, given, options)
        settled()
        return out

    began = time.perf_counter()
    run()
    compiled(setting.wait_s)
    warm_up = time.perf_counter() - began
    began = time.perf_counter()
    run()
    first = time.perf_counter() - began
    SAMPLED.take()
    out = [run() for _ in range(3)][-1].float()
    times = _times(run)
    return {
        "ms": 1e3 * statistics.median(times),
        "ms_least_and_most": [1e3 * min(times), 1e3 * max(times)],
        "error": float((out - right).norm() / right.norm()),
        "warm_up_s": warm_up,
        "first_step_after_s": first,
        "sampled": SAMPLED.take(),
    }


def _times(run: Callable[[], object]) -> list[float]:
    """Seconds of each."""
    times = []
    for _ in range(ROUNDS):
        at = time.perf_counter()
        run()
        settled()
        times.append(time.perf_counter() - at)
    return times


def loaded_again(setting: Setting) -> dict[str, Any]:
    """A second model in 8 bits, for which nothing must be compiled again, and its step recorded as
    one CUDA graph: last of all, since a recording that fails may leave the card unusable."""
    model = model_loader.load(setting.path, Speed.FP8)
    given = inputs(model, setting, model.model.diffusion_model.img_in.weight.dtype)

    def run() -> Any:
        return step(model, given, {OVERRIDE: torch_attention})

    began = time.perf_counter()
    run()
    compiled(setting.wait_s)
    right = [run() for _ in range(3)][-1].clone()
    settled()
    found: dict[str, Any] = {"warm_up_s": time.perf_counter() - began}
    if torch.cuda.is_available():
        found |= _recorded(run, right)
    return found


def _recorded(run: Callable[[], Any], right: Any) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        play, out = on_card(run)
    except RuntimeError as error:
        return {"not_recorded": str(error)}
    record_s = time.perf_counter() - began
    times = _times(play)
    return {
        "record_s": record_s,
        "ms": 1e3 * statistics.median(times),
        "is_equal": torch.equal(out, right),
    }


def compiled(seconds: float) -> None:
    """Waits for what the first step began, so long at most."""
    for thread in threading.enumerate():
        if thread.name == COMPILE_THREAD:
            thread.join(seconds)


def settled() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def at_speed(setting: Setting, speed: Speed, right: Any) -> dict[str, Any]:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    model = model_loader.load(setting.path, speed)
    settled()
    found: dict[str, Any] = {"load_s": time.perf_counter() - began}
    if torch.cuda.is_available():
        found["load_peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
        found["held_gb"] = torch.cuda.memory_allocated() / 1e9
    found |= measured(model, setting, right)
    found["lora"] = merging(model, settled)
    model.get_attachment(model_loader.MERGED).restore()
    return found


def told(speed: Speed, found: Mapping[str, Any], floor_ms: float) -> None:
    lora = found["lora"]
    row(
        speed.value,
        f"{found['ms']:.1f}",
        f"{found['ms'] / floor_ms:.3f}",
        f"{found['error']:.4f}",
        f"{found['warm_up_s']:.1f}",
        f"{1e3 * lora['switch_s']:.1f}",
        f"{lora['share']:.4f}",
        "yes" if lora["off_is_equal"] else "NO",
        widths=WIDTHS,
    )
    if speed.value not in found["sampled"]:
        print(f"not at this speed: {found['sampled']}", flush=True)


def saved(path: Path | None, made: Mapping[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(made, indent=1))


def prepared(options: argparse.Namespace) -> Setting:
    """ComfyUI imported, and the weights there."""
    on_gpu = torch.cuda.is_available()
    logging.basicConfig(level=logging.WARNING)
    sys.path.insert(0, str(options.comfyui))
    # ComfyUI reads it as it is imported
    sys.argv = ["main.py", "--disable-dynamic-vram" if on_gpu else "--cpu"]
    import_module("comfy.options").enable_args_parsing()
    device = import_module("comfy.model_management").get_torch_device()
    ATTENTION_ORDER.settle()
    if options.micro or not (options.weights / FILE).exists():
        gpu_weights.make(options.weights, ["micro" if options.micro else "flux"])
    side, text = (16, 32) if options.micro else (128, 256)
    return Setting(options.weights / FILE, device, side, text, options.wait)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--comfyui", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="a folder of models")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--micro", action="store_true", help="a tiny model, in a folder of its own")
    parser.add_argument("--wait", type=float, default=40.0, help="seconds for compiling a speed")
    options = parser.parse_args(arguments)
    setting = prepared(options)
    floors = {"bf16": 1e3 * sustained_step_s(), "fp8": 1e3 * sustained_step_s(fp8=True)}
    made: dict[str, Any] = {"card": card(), "torch": torch.__version__, "floors_ms": floors}
    title(
        f"One step of Flux on {made['card']}, floors {floors['bf16']:.1f} ms in bf16, "
        f"{floors['fp8']:.1f} ms in fp8"
    )
    heads = ("speed", "ms", "over floor", "error", "warm-up, s", "LoRA, ms", "its share", "off")
    row(*heads, widths=WIDTHS)
    with torch.inference_mode():
        right = reference(setting)
        for speed in SPEEDS:
            found = made[speed.value] = at_speed(setting, speed, right)
            let_go()
            saved(options.json, made)
            told(speed, found, floors["fp8" if speed is Speed.FP8 else "bf16"])
        made["fp8_again"] = loaded_again(setting)
        saved(options.json, made)
        print(f"fp8 loaded again, and a graph of its step: {made['fp8_again']}")


if __name__ == "__main__":
    main()

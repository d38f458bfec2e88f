"""One step of Flux in ComfyUI's own code at each speed: time, and error against 32 bits.

    python -m benchmarks.gpu_step --comfyui DIR --weights DIR [--json FILE]

The weights are those that benchmarks.gpu makes, so the error tells of arithmetic and not of
pictures. 1024 x 1024, 256 tokens of text. ComfyUI is imported into this process.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_floor import card, sustained_step_s
from benchmarks.setting import row, title
from handlers.comfyui.node_pack import model_loader
from handlers.comfyui.node_pack.attention_order import ATTENTION_ORDER
from handlers.comfyui.node_pack.compiled_blocks import OVERRIDE
from handlers.comfyui.node_pack.model_options import torch_attention
from handlers.comfyui.node_pack.sampled import SAMPLED, Speed

FILE = "diffusion_models/flux1-dev.safetensors"
ROUNDS = 8
SPEEDS = (Speed.EAGER, Speed.COMPILED)


def inputs(dtype: Any) -> dict[str, Any]:
    """What a step of Flux dev is given: latent, time, text, and the rest by name."""
    generator = torch.Generator("cuda").manual_seed(1)

    def drawn(*shape: int) -> Any:
        return torch.randn(shape, device="cuda", generator=generator).to(dtype)

    return {
        "x": drawn(1, 16, 128, 128),
        "timestep": torch.full((1,), 0.7, device="cuda"),
        "context": drawn(1, 256, 4096),
        "y": drawn(1, 768),
        "guidance": torch.full((1,), 3.5, device="cuda"),
    }


def reference(path: Path) -> Any:
    """The output in 32 bits; the model is let go again."""
    model = model_loader.load(path, Speed.EAGER)
    diffusion = model.model.diffusion_model.float()
    diffusion.dtype = torch.float32
    out = diffusion(**inputs(torch.float32), transformer_options={OVERRIDE: torch_attention})
    del model, diffusion
    import_module("comfy.model_management").soft_empty_cache()
    return out


def step(model: Any, options: Mapping[str, Any]) -> Any:
    """One call of the diffusion model, through the wrapper that picks the speed."""
    given = inputs(torch.bfloat16)
    (wrapper,) = model.wrappers["apply_model"][model_loader.KEY]

    def call(*_: Any) -> Any:
        return model.model.diffusion_model(**given, transformer_options=dict(options))

    return wrapper(call, None, None, None, None, None, dict(options))


def measured(model: Any, speed: Speed, right: Any) -> dict[str, float]:
    options = {OVERRIDE: torch_attention}
    run: Callable[[], Any] = lambda: step(model, options)  # noqa: E731
    began = time.perf_counter()
    while speed.value not in (run(), SAMPLED.take())[1] and time.perf_counter() - began < 120:
        time.sleep(1)
    warm_up = time.perf_counter() - began
    out = [run() for _ in range(3)][-1].float()
    times = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        at = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - at)
    error = float((out - right).norm() / right.norm())
    return {"ms": 1e3 * statistics.median(times), "error": error, "warm_up_s": warm_up}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comfyui", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(options.comfyui))
    sys.argv = ["main.py", "--disable-dynamic-vram"]  # ComfyUI reads it as it is imported
    import_module("comfy.options").enable_args_parsing()
    import_module("comfy.model_management")
    ATTENTION_ORDER.settle()
    path = options.weights / FILE
    made: dict[str, Any] = {"card": card(), "floor_ms": 1e3 * sustained_step_s()}
    with torch.inference_mode():
        right = reference(path)
        title(f"One step of Flux on {made['card']}, floor {made['floor_ms']:.1f} ms")
        row("speed", "ms", "over floor", "error", widths=(12, 10, 12, 10))
        for speed in SPEEDS:
            model = model_loader.load(path, speed)
            found = made[speed.value] = measured(model, speed, right)
            row(
                speed.value,
                f"{found['ms']:.1f}",
                f"{found['ms'] / made['floor_ms']:.2f}",
                f"{found['error']:.4f}",
                widths=(12, 10, 12, 10),
            )
            if options.json:
                options.json.write_text(json.dumps(made, indent=1))
            model.detach()
            del model


if __name__ == "__main__":
    main()

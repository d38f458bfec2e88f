"""LoRAs on one model: how long a switch takes, how much of one acts, and whether all go again."""

import re
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from handlers.comfyui.node_pack import model_loader
from handlers.comfyui.node_pack.merged_loras import Factors, Lora, MergedLoras
from handlers.comfyui.node_pack.scaled_fp8 import in_full

RANK = 16
SIZE = 0.01
"""Of what a LoRA adds, in norms of the weight."""
SWITCHES = 8
LAYERS = re.compile(r"diffusion_model\.(?:double|single)_blocks\.\d+\.(?!.*mod).*")


def merging(model: Any, settled: Callable[[], None]) -> dict[str, Any]:
    """Seconds of the first merge, which keeps the originals, and of a switch from one LoRA to
    another; the share of one LoRA that acts on one weight; whether off again is the same bytes."""
    merged: MergedLoras = model.get_attachment(model_loader.MERGED)
    layers = {
        name: layer
        for name, layer in model.model.named_modules()
        if isinstance(layer, torch.nn.Linear) and LAYERS.fullmatch(name)
    }
    before = {name: layer.weight.data.clone() for name, layer in layers.items()}
    name, layer = next(iter(layers.items()))
    plain = _in_full(layer)
    loras = [_lora(str(seed), seed, layers) for seed in (1, 2)]

    def seconds(*wanted: Lora) -> float:
        began = time.perf_counter()
        merged.apply(wanted)
        settled()
        return time.perf_counter() - began

    first = seconds(loras[1])
    seconds(loras[0])
    moved = _in_full(layer) - plain
    switches = [seconds(loras[1 - at % 2]) for at in range(SWITCHES)]
    off = seconds()
    equal = all(
        torch.equal(before[each].view(torch.uint8), layer.weight.data.view(torch.uint8))
        for each, layer in layers.items()
    )
    return {
        "layers": len(layers),
        "first_s": first,
        "switch_s": statistics.median(switches),
        "off_s": off,
        "share": _share(moved, loras[0], f"{name}.weight"),
        "off_is_equal": equal,
    }


def _in_full(layer: Any) -> Any:
    if getattr(layer, "source", None) is None:
        return layer.weight.to(torch.float32, copy=True)
    return in_full(layer.weight, layer.scale, torch.float32)


def _lora(name: str, seed: int, layers: dict[str, Any]) -> Lora:
    device = next(iter(layers.values())).weight.device
    generator = torch.Generator(device).manual_seed(seed)

    def drawn(*shape: int) -> Any:
        made = torch.randn(shape, device=device, generator=generator)
        return made.to(torch.bfloat16)

    factors = []
    for key, layer in layers.items():
        out, given = layer.weight.shape
        scale = SIZE * float(_in_full(layer).norm()) / (out * given * RANK) ** 0.5
        factors.append(Factors(f"{key}.weight", drawn(out, RANK), drawn(RANK, given), scale))
    return Lora(name, 1.0, factors, {})


def _share(moved: Any, lora: Lora, key: str) -> float:
    (each,) = (factors for factors in lora.factors if factors.key == key)
    wanted = each.scale * (each.up.float() @ each.down.float())
    return float((moved * wanted).sum() / (wanted * wanted).sum())

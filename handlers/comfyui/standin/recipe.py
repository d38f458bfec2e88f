"""What a picture is made from, read off the graph before the node that makes it."""

from collections.abc import Mapping, Sequence
from typing import Any

from handlers.comfyui.standin.execution_order import Graph, ancestry, is_link
from handlers.comfyui.standin.render import Recipe

_PROMPT_INPUTS = ("positive", "conditioning", "guider")
_MODEL_INPUTS = ("unet_name", "ckpt_name")


def is_sampler(class_type: str) -> bool:
    """Whether a node of this class samples, and so reports its steps."""
    return class_type.startswith(("KSampler", "SamplerCustom")) and class_type != "KSamplerSelect"


def recipe(graph: Graph, node_id: str, signatures: Mapping[str, str]) -> Recipe:
    nodes = ancestry(graph, node_id)
    sampler = next((each for each in nodes if is_sampler(graph[each]["class_type"])), None)
    start = sampler or node_id
    return Recipe(
        prompt=_prompt(graph, start),
        seed=int(_first(graph, ancestry(graph, start), ("seed", "noise_seed")) or 0),
        models=tuple(
            str(graph[each]["inputs"][name])
            for each in nodes
            for name in _MODEL_INPUTS
            if name in graph[each]["inputs"]
        ),
        loras=tuple(
            f"{inputs['lora_name']}@{inputs.get('strength_model', 1.0)}"
            for inputs in (graph[each]["inputs"] for each in nodes)
            if "lora_name" in inputs
        ),
        signature=signatures[start],
    )


def steps(graph: Graph, sampler: str) -> int:
    """How many steps a sampler takes: its own number, or its scheduler's."""
    return int(_first(graph, ancestry(graph, sampler), ("steps",)) or 1)


def _prompt(graph: Graph, node_id: str) -> str:
    """The first text met on the way up the positive side."""
    inputs = graph[node_id]["inputs"]
    for name in ("text", "t5xxl", "clip_l"):
        if isinstance(inputs.get(name), str):
            return str(inputs[name])
    ahead = [inputs[name] for name in _PROMPT_INPUTS if name in inputs] or list(inputs.values())
    for value in ahead:
        if is_link(value):
            found = _prompt(graph, value[0])
            if found:
                return found
    return ""


def _first(graph: Graph, nodes: Sequence[str], names: Sequence[str]) -> Any:
    for node_id in nodes:
        for name in names:
            value = graph[node_id]["inputs"].get(name)
            if value is not None and not is_link(value):
                return value
    return None

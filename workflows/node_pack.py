"""Our own nodes in the place of ComfyUI's, where the server has them. handlers/comfyui/node_pack is
what ComfyUI loads; a graph means the same with either."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from workflows import required_nodes
from workflows.graph import Graph, Link, Node

LOAD_CHECKPOINT = "RylaLoadCheckpoint"
LOAD_CONTROL_NET = "RylaLoadControlNet"
LOAD_DIFFUSION_MODEL = "RylaLoadDiffusionModel"
LORA = "RylaLora"
MODEL_OPTIONS = "RylaModelOptions"
SAVE_PIXELS = "RylaSavePixels"
STEP_CACHE = "RylaStepCache"
EVICTS = "ryla_evicts"
"""In the extra data of a prompt: weights that ComfyUI holds are let go by it."""
CLASSES = frozenset(
    {LOAD_CHECKPOINT, LOAD_CONTROL_NET, LOAD_DIFFUSION_MODEL, LORA, MODEL_OPTIONS, SAVE_PIXELS}
    | {STEP_CACHE}
)

_FACE = "ApplyInstantIDAdvanced"


class Attention(StrEnum):
    """Whose choice of kernel a model's attention is."""

    COMFYUI = "comfyui"
    TORCH = "torch"


class Speed(StrEnum):
    """How steps are computed. The node pack has the same words."""

    STOCK = "stock"
    """Models are loaded, kept and patched by ComfyUI."""
    EAGER = "eager"
    """Models are read straight to the card and stay there, and LoRAs are merged where they lie;
    the arithmetic is ComfyUI's."""
    COMPILED = "compiled"
    """The same, and blocks of transformers compiled, once that was done while nothing waited."""
    FP8 = "fp8"
    """Compiled, with weights of blocks in 8 bits, where the card has units for it and the file is
    in bfloat16 and no checkpoint: other pictures, to be asked for."""


OWN_LOADERS: Mapping[str, str] = MappingProxyType(
    {"UNETLoader": LOAD_DIFFUSION_MODEL, "CheckpointLoaderSimple": LOAD_CHECKPOINT}
)
SAME_INPUTS: Mapping[str, str] = MappingProxyType(
    {"LoraLoaderModelOnly": LORA, "ControlNetLoader": LOAD_CONTROL_NET}
)
READS_NO_WEIGHTS = required_nodes.ALL | {STEP_CACHE}
"""Classes that leave a model's weights alone: all of our own graphs do, and one that does not is to
be taken out here. Ours lie merged with the LoRA of the latest prompt until the next one is sampled;
a node that reads them in between, to merge two models or to save one, must find ComfyUI's own."""


def with_own_nodes(graph: Graph, attention: Attention, speed: Speed = Speed.STOCK) -> Graph:
    """The same graph with our nodes: pixels are saved bare, and each sampler's model gets the
    options of this card. Ids stay; what stands before a sampler has the sampler's and `-model`. A
    picture that goes on from where it is saved, as ComfyUI 0.33 lets it, is saved by ComfyUI. At
    any speed but the stock one models and LoRAs are loaded by our own nodes too."""
    own = Graph()
    own.extra_data = graph.extra_data
    fast = speed is not Speed.STOCK and all(node.class_type in READS_NO_WEIGHTS for node in graph)
    linked = {
        value.node for node in graph for value in node.inputs.values() if isinstance(value, Link)
    }
    for node in graph:
        if node.class_type == "SaveImage" and node.id not in linked:
            own.add(SAVE_PIXELS, id=node.id, **node.inputs)
        elif node.class_type == "KSampler" and _needs_options(graph, node, attention):
            model = own.add(
                MODEL_OPTIONS,
                id=f"{node.id}-model",
                model=node.inputs["model"],
                attention=attention.value,
                sigmas_on_processor=_looks_at_sigmas(graph, node),
                recorded=fast and _patched_alike(graph, node),
            )
            own.add("KSampler", id=node.id, **{**node.inputs, "model": model.out()})
        else:
            class_type, inputs = (
                at_speed(node.class_type, node.inputs, speed)
                if fast
                else (node.class_type, node.inputs)
            )
            own.add(class_type, id=node.id, **inputs)
    return own


def at_speed(
    class_type: str, inputs: Mapping[str, Any], speed: Speed
) -> tuple[str, Mapping[str, Any]]:
    """The class and inputs of our node in the place of one that loads a model or a LoRA."""
    if class_type in SAME_INPUTS:
        return SAME_INPUTS[class_type], inputs
    if class_type not in OWN_LOADERS or inputs.get("weight_dtype", "default") != "default":
        return class_type, inputs
    kept = {name: value for name, value in inputs.items() if name != "weight_dtype"}
    return OWN_LOADERS[class_type], {**kept, "speed": speed.value}


def _needs_options(graph: Graph, sampler: Node, attention: Attention) -> bool:
    return attention is not Attention.COMFYUI or _looks_at_sigmas(graph, sampler)


def _patched_alike(graph: Graph, sampler: Node) -> bool:
    """Whether InstantID acts on the model in every step, so that each is as the others."""
    model = sampler.inputs["model"]
    face = graph[model.node] if isinstance(model, Link) else None
    return (
        face is not None
        and face.class_type == _FACE
        and (face.inputs.get("start_at"), face.inputs.get("end_at")) == (0.0, 1.0)
    )


def _looks_at_sigmas(graph: Graph, sampler: Node) -> bool:
    model = sampler.inputs["model"]
    return isinstance(model, Link) and graph[model.node].class_type == _FACE

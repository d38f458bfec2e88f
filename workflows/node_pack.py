"""Our own nodes in the place of ComfyUI's, where the server has them. handlers/comfyui/node_pack is
what ComfyUI loads; a graph means the same with either."""

from enum import StrEnum

from workflows.graph import Graph, Link, Node

MODEL_OPTIONS = "RylaModelOptions"
SAVE_PIXELS = "RylaSavePixels"
EVICTS = "ryla_evicts"
"""In the extra data of a prompt: weights that ComfyUI holds are let go by it."""
CLASSES = frozenset({MODEL_OPTIONS, SAVE_PIXELS})

_FACE = "ApplyInstantIDAdvanced"


class Attention(StrEnum):
    """Whose choice of kernel a model's attention is."""

    COMFYUI = "comfyui"
    TORCH = "torch"


def with_own_nodes(graph: Graph, attention: Attention) -> Graph:
    """The same graph with our nodes: pixels are saved bare, and each sampler's model gets the
    options of this card. Ids stay; what stands before a sampler has the sampler's and `-model`. A
    picture that goes on from where it is saved, as ComfyUI 0.33 lets it, is saved by ComfyUI."""
    own = Graph()
    own.extra_data = graph.extra_data
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
            )
            own.add("KSampler", id=node.id, **{**node.inputs, "model": model.out()})
        else:
            own.add(node.class_type, id=node.id, **node.inputs)
    return own


def _needs_options(graph: Graph, sampler: Node, attention: Attention) -> bool:
    return attention is not Attention.COMFYUI or _looks_at_sigmas(graph, sampler)


def _looks_at_sigmas(graph: Graph, sampler: Node) -> bool:
    model = sampler.inputs["model"]
    return isinstance(model, Link) and graph[model.node].class_type == _FACE

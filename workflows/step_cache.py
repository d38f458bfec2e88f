"""Steps that take the work of most blocks from the step before: a node of our own, which a job asks
for by `step_cache`. handlers/comfyui/node_pack/step_cache.py says how."""

from workflows.graph import Graph, Link
from workflows.node_pack import STEP_CACHE


def with_step_cache(graph: Graph, model: Link, threshold: float) -> Link:
    """The model to sample with. `threshold` is a relative change; 0 leaves the graph alone."""
    if threshold == 0:
        return model
    return graph.add(STEP_CACHE, id="step-cache", model=model, threshold=threshold).out()


def threshold_of(graph: Graph) -> float:
    """The largest that the graph asks for; 0 for none."""
    return max(
        (node.inputs["threshold"] for node in graph if node.class_type == STEP_CACHE), default=0.0
    )


def steps_of(graph: Graph) -> int:
    """Sampler steps that the graph asks for: of its samplers, or of what plans their noise. A
    number that another node gives is not in it."""
    asked = (node.inputs.get("steps") for node in graph)
    return sum(steps for steps in asked if isinstance(steps, int))

"""A LoRA between a graph's model loader and whatever samples with it."""

from workflows.graph import Graph, Link


def with_lora(graph: Graph, model: Link, lora: tuple[str, float] | None) -> Link:
    """The model to sample with. `lora` is a file and its strength on the diffusion model alone."""
    if lora is None:
        return model
    name, strength = lora
    loader = graph.add(
        "LoraLoaderModelOnly", id="lora", model=model, lora_name=name, strength_model=strength
    )
    return loader.out()

"""SDXL alone: a picture of words, as sheets need it for views without a face of somebody's."""

from collections.abc import Mapping

from workflows.graph import Graph
from workflows.instantid import Sampling
from workflows.lora import with_lora


def text_to_image(
    weights: Mapping[str, str],
    *,
    prompt: str,
    negative_prompt: str,
    width: int,
    height: int,
    sampling: Sampling,
    filename_prefix: str,
    lora: tuple[str, float] | None = None,
) -> Graph:
    """The graph for `weights` (role → file name): `checkpoint`.

    `width` and `height` are in pixels. `lora` is a file and its strength; it acts on the diffusion
    model alone.
    """
    graph = Graph()
    checkpoint = graph.add(
        "CheckpointLoaderSimple", id="checkpoint", ckpt_name=weights["checkpoint"]
    )
    clip, vae = checkpoint.out(1), checkpoint.out(2)
    positive = graph.add("CLIPTextEncode", id="prompt", text=prompt, clip=clip)
    negative = graph.add("CLIPTextEncode", id="negative", text=negative_prompt, clip=clip)
    latent = graph.add("EmptyLatentImage", id="latent", width=width, height=height, batch_size=1)
    sampled = graph.add(
        "KSampler",
        id="sampler",
        model=with_lora(graph, checkpoint.out(0), lora),
        seed=sampling.seed,
        steps=sampling.steps,
        cfg=sampling.cfg,
        sampler_name=sampling.sampler_name,
        scheduler=sampling.scheduler,
        positive=positive.out(),
        negative=negative.out(),
        latent_image=latent.out(),
        denoise=sampling.denoise,
    )
    image = graph.add("VAEDecode", id="decode", samples=sampled.out(), vae=vae)
    graph.add("SaveImage", id="save", images=image.out(), filename_prefix=filename_prefix)
    return graph

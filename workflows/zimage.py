"""Z-Image-Turbo text to image: one picture per graph."""

from collections.abc import Mapping

from workflows.graph import Graph
from workflows.lora import with_lora

SHIFT = 3.0
"""Of ModelSamplingAuraFlow, as Z-Image-Turbo was distilled."""


def text_to_image(
    weights: Mapping[str, str],
    *,
    prompt: str,
    width: int,
    height: int,
    steps: int,
    seed: int,
    filename_prefix: str,
    lora: tuple[str, float] | None = None,
) -> Graph:
    """The graph for `weights` (role → file name): `unet`, `clip`, `vae`.

    `width` and `height` are in pixels. `lora` is a file and its strength; it acts on the diffusion
    model alone.

    The model is distilled to cfg 1, where a negative prompt has no effect.
    """
    graph = Graph()
    unet = graph.add("UNETLoader", id="unet", unet_name=weights["unet"], weight_dtype="default")
    clip = graph.add("CLIPLoader", id="clip", clip_name=weights["clip"], type="lumina2")
    vae = graph.add("VAELoader", id="vae", vae_name=weights["vae"])
    text = graph.add("CLIPTextEncode", id="prompt", text=prompt, clip=clip.out())
    negative = graph.add("ConditioningZeroOut", id="negative", conditioning=text.out())
    latent = graph.add("EmptySD3LatentImage", id="latent", width=width, height=height, batch_size=1)
    loaded = with_lora(graph, unet.out(), lora)
    model = graph.add("ModelSamplingAuraFlow", id="shift", model=loaded, shift=SHIFT)
    sampled = graph.add(
        "KSampler",
        id="sampler",
        model=model.out(),
        seed=seed,
        steps=steps,
        cfg=1.0,
        sampler_name="res_multistep",
        scheduler="simple",
        positive=text.out(),
        negative=negative.out(),
        latent_image=latent.out(),
        denoise=1.0,
    )
    image = graph.add("VAEDecode", id="decode", samples=sampled.out(), vae=vae.out())
    graph.add("SaveImage", id="save", images=image.out(), filename_prefix=filename_prefix)
    return graph

"""Flux text to image: one picture per graph."""

from collections.abc import Mapping

from workflows.graph import Graph, Link
from workflows.lora import with_lora
from workflows.step_cache import with_step_cache


def text_to_image(
    weights: Mapping[str, str],
    *,
    prompt: str,
    width: int,
    height: int,
    steps: int,
    guidance: float | None,
    seed: int,
    filename_prefix: str,
    lora: tuple[str, float] | None = None,
    step_cache: float = 0.0,
) -> Graph:
    """The graph for `weights` (role → file name): `unet`, `clip_l`, `t5`, `vae`, or `checkpoint`.

    `width` and `height` are in pixels. `lora` is a file and its strength; it acts on the diffusion
    model alone. `step_cache` is a relative change, 0 for none.

    `guidance` is the distilled guidance of Flux dev, None for schnell, which has none. Sampling is
    at cfg 1, where a negative prompt has no effect, so the negative is the zeroed positive.
    """
    graph = Graph()
    model, clip, vae = _load(graph, weights)
    model = with_step_cache(graph, with_lora(graph, model, lora), step_cache)
    text = graph.add("CLIPTextEncode", id="prompt", text=prompt, clip=clip).out()
    positive = text
    if guidance is not None:
        positive = graph.add(
            "FluxGuidance", id="guidance", conditioning=text, guidance=guidance
        ).out()
    negative = graph.add("ConditioningZeroOut", id="negative", conditioning=text)
    latent = graph.add("EmptySD3LatentImage", id="latent", width=width, height=height, batch_size=1)
    sampled = graph.add(
        "KSampler",
        id="sampler",
        model=model,
        seed=seed,
        steps=steps,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        positive=positive,
        negative=negative.out(),
        latent_image=latent.out(),
        denoise=1.0,
    )
    image = graph.add("VAEDecode", id="decode", samples=sampled.out(), vae=vae)
    graph.add("SaveImage", id="save", images=image.out(), filename_prefix=filename_prefix)
    return graph


def _load(graph: Graph, weights: Mapping[str, str]) -> tuple[Link, Link, Link]:
    """The loaders' model, text encoder and VAE."""
    if "unet" not in weights:
        all_in_one = graph.add(
            "CheckpointLoaderSimple", id="checkpoint", ckpt_name=weights["checkpoint"]
        )
        return all_in_one.out(0), all_in_one.out(1), all_in_one.out(2)
    unet = graph.add("UNETLoader", id="unet", unet_name=weights["unet"], weight_dtype="default")
    clip = graph.add(
        "DualCLIPLoader",
        id="clip",
        clip_name1=weights["clip_l"],
        clip_name2=weights["t5"],
        type="flux",
    )
    vae = graph.add("VAELoader", id="vae", vae_name=weights["vae"])
    return unet.out(), clip.out(), vae.out()

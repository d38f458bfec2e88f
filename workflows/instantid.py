"""InstantID on SDXL: a picture of the person in a reference, or that person's face in a picture.

InstantID's ControlNet and attention weights are SDXL's and drive no other model, so a picture of
another model gets its face in a second prompt: the square around the face is cut out, sampled anew
by SDXL with InstantID and pasted back under a soft mask.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from workflows.graph import Graph, Link, Node
from workflows.lora import with_lora

SIDE = 1024
"""Pixels of a side of what SDXL was trained on: crops are worked on at this size."""
FEATHER = 8
"""The mask fades over one part in so many of the crop's shorter side."""


class Crop(NamedTuple):
    """Whole pixels, inside the picture."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Identity:
    """Who is to be seen, and how strictly."""

    reference: str
    """An input file with one face; of several, the nodes take the largest."""
    strength: float
    """Of the attention half: what the face is like."""
    controlnet_strength: float
    """Of the ControlNet half: where its eyes, nose and mouth are."""
    start_at: float = 0.0
    """Share of the sampling from which InstantID acts."""
    end_at: float = 1.0
    provider: Literal["CPU", "CUDA"] = "CPU"
    """What the nodes' own face detection runs on."""
    further: tuple[str, ...] = ()
    """More pictures of the person, of the first one's size. The nodes take the mean of all; the
    first one is the pose."""


@dataclass(frozen=True)
class Sampling:
    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float = 1.0


def text_to_image(
    weights: Mapping[str, str],
    *,
    prompt: str,
    negative_prompt: str,
    width: int,
    height: int,
    identity: Identity,
    sampling: Sampling,
    filename_prefix: str,
    landmarks: str | None = None,
    lora: tuple[str, float] | None = None,
) -> Graph:
    """The graph for `weights` (role -> file name): `checkpoint`, `instantid`, `controlnet`.

    The head is posed as in the reference, or as `landmarks` says: an input file with five points
    drawn (handlers/faces/landmark_image.py). `lora` is a file and its strength; it acts on the
    diffusion model alone.
    """
    graph = Graph()
    pose = None
    if landmarks is not None:
        pose = graph.add("LoadImage", id="landmarks", image=landmarks).out()
    checkpoint, applied = _apply(graph, weights, prompt, negative_prompt, identity, pose, lora)
    latent = graph.add("EmptyLatentImage", id="latent", width=width, height=height, batch_size=1)
    image = _sample(graph, checkpoint, applied, latent.out(), sampling)
    graph.add("SaveImage", id="save", images=image, filename_prefix=filename_prefix)
    return graph


def face_pass(
    weights: Mapping[str, str],
    *,
    picture: str,
    crop: Crop,
    prompt: str,
    negative_prompt: str,
    identity: Identity,
    sampling: Sampling,
    filename_prefix: str,
    side: int = SIDE,
    landmarks: str | None = None,
) -> Graph:
    """The graph that gives a face in an input picture to another person; `weights` as above.

    The crop itself is the pose, or `landmarks`: an input file with five points drawn, of
    `work_size` of the crop. Nothing outside it changes. A crop without a face would be taken for a
    picture of keypoints, so the caller makes sure that there is one.
    """
    graph = Graph()
    base = graph.add("LoadImage", id="picture", image=picture).out()
    cut = graph.add("ImageCrop", id="crop", image=base, **crop._asdict()).out()
    enlarged = _scaled(graph, "enlarge", cut, *work_size(crop, side))
    pose = enlarged
    if landmarks is not None:
        pose = graph.add("LoadImage", id="landmarks", image=landmarks).out()
    checkpoint, applied = _apply(graph, weights, prompt, negative_prompt, identity, pose)
    latent = graph.add("VAEEncode", id="encode", pixels=enlarged, vae=checkpoint.out(2)).out()
    mask = _soft_mask(graph, crop)
    masked = graph.add("SetLatentNoiseMask", id="noise_mask", samples=latent, mask=mask)
    face = _sample(graph, checkpoint, applied, masked.out(), sampling)
    pasted = graph.add(
        "ImageCompositeMasked",
        id="paste",
        destination=base,
        source=_scaled(graph, "shrink", face, crop.width, crop.height),
        x=crop.x,
        y=crop.y,
        resize_source=False,
        mask=mask,
    )
    graph.add("SaveImage", id="save", images=pasted.out(), filename_prefix=filename_prefix)
    return graph


def _apply(
    graph: Graph,
    weights: Mapping[str, str],
    prompt: str,
    negative_prompt: str,
    identity: Identity,
    pose: Link | None = None,
    lora: tuple[str, float] | None = None,
) -> tuple[Node, Node]:
    """The checkpoint, and the node whose outputs are model, positive and negative with the face."""
    checkpoint = graph.add(
        "CheckpointLoaderSimple", id="checkpoint", ckpt_name=weights["checkpoint"]
    )
    clip = checkpoint.out(1)
    positive = graph.add("CLIPTextEncode", id="prompt", text=prompt, clip=clip)
    negative = graph.add("CLIPTextEncode", id="negative", text=negative_prompt, clip=clip)
    reference = graph.add("LoadImage", id="reference", image=identity.reference).out()
    for number, file in enumerate(identity.further, start=2):
        more = graph.add("LoadImage", id=f"reference-{number}", image=file).out()
        batch = graph.add("ImageBatch", id=f"references-{number}", image1=reference, image2=more)
        reference = batch.out()
    detector = graph.add("InstantIDFaceAnalysis", id="faces", provider=identity.provider)
    adapter = graph.add("InstantIDModelLoader", id="adapter", instantid_file=weights["instantid"])
    control = graph.add("ControlNetLoader", id="controlnet", control_net_name=weights["controlnet"])
    applied = graph.add(
        "ApplyInstantIDAdvanced",
        id="instantid",
        instantid=adapter.out(),
        insightface=detector.out(),
        control_net=control.out(),
        image=reference,
        model=with_lora(graph, checkpoint.out(0), lora),
        positive=positive.out(),
        negative=negative.out(),
        ip_weight=identity.strength,
        cn_strength=identity.controlnet_strength,
        start_at=identity.start_at,
        end_at=identity.end_at,
        noise=0.0,
        combine_embeds="average",
        **({} if pose is None else {"image_kps": pose}),
    )
    return checkpoint, applied


def _sample(
    graph: Graph, checkpoint: Node, applied: Node, latent: Link, sampling: Sampling
) -> Link:
    sampled = graph.add(
        "KSampler",
        id="sampler",
        model=applied.out(0),
        seed=sampling.seed,
        steps=sampling.steps,
        cfg=sampling.cfg,
        sampler_name=sampling.sampler_name,
        scheduler=sampling.scheduler,
        positive=applied.out(1),
        negative=applied.out(2),
        latent_image=latent,
        denoise=sampling.denoise,
    )
    return graph.add("VAEDecode", id="decode", samples=sampled.out(), vae=checkpoint.out(2)).out()


def _scaled(graph: Graph, id: str, image: Link, width: int, height: int) -> Link:
    return graph.add(
        "ImageScale",
        id=id,
        image=image,
        upscale_method="lanczos",
        width=width,
        height=height,
        crop="disabled",
    ).out()


def work_size(crop: Crop, side: int) -> tuple[int, int]:
    """The crop's shape with `side` as its longer side, in whole latent pixels."""
    longest = max(crop.width, crop.height)
    return (
        max(8, round(crop.width * side / longest / 8) * 8),
        max(8, round(crop.height * side / longest / 8) * 8),
    )


def _soft_mask(graph: Graph, crop: Crop) -> Link:
    solid = graph.add("SolidMask", id="solid", value=1.0, width=crop.width, height=crop.height)
    fade = min(crop.width, crop.height) // FEATHER
    edges = dict.fromkeys(("left", "top", "right", "bottom"), fade)
    return graph.add("FeatherMask", id="mask", mask=solid.out(), **edges).out()

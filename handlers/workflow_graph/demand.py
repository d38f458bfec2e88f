"""What a caller's graph asks of a machine: pixels, memory and time, carried along its links.

A limit on each input bounds no graph: six nodes that scale by 4 make 16 million times the pixels.
So each output of each node that runs is given its extent, in the order in which they run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import ceil, inf
from types import MappingProxyType
from typing import Any, NamedTuple

from config.errors import GraphRejected
from handlers.kinds.base import Work
from handlers.workflow_graph.extents import Extent, Inputs, Size, extent, number, runs
from handlers.workflow_graph.output_extents import outputs
from workflows.graph import Link, Node
from workflows.interfaces import NodeInterface

MEGAPIXEL = 2**20
MAX_TEXTS = 32
"""In one conditioning. Two that are combined forty times over would be 2**40."""


@dataclass(frozen=True)
class GraphLimits:
    megapixels: int
    """Of 2**20 pixels, as all here: of a node's batch of pictures or latents."""
    total_megapixels: int
    """Of all pictures and masks that the graph makes, which ComfyUI keeps until it has run."""
    samplers: int
    megapixel_steps: int
    """Of all samplers: megapixels of the batch, times runs of the model."""


@dataclass(frozen=True)
class Sampling:
    """What one sampler node does."""

    width: float
    height: float
    batch: float
    steps: float
    """Runs of the model for each picture."""

    @property
    def pixel_steps(self) -> float:
        return self.width * self.height * self.batch * self.steps


@dataclass(frozen=True)
class NodeDemand:
    """What one node makes."""

    node: str
    class_type: str
    largest: Extent
    """Of its outputs, the one with the most pixels."""
    texts: float
    held: float
    """Pixels of its pictures and masks, which ComfyUI keeps until the graph has run."""
    seconds: float
    """Without sampling."""
    sampling: Sampling | None


@dataclass(frozen=True)
class Demand:
    nodes: Sequence[NodeDemand]

    def require_within(self, limits: GraphLimits) -> None:
        """Raises GraphRejected that names the first node which goes beyond one."""
        held = pixel_steps = 0.0
        samplers = 0
        for row in self.nodes:
            held += row.held
            samplers += row.sampling is not None
            pixel_steps += row.sampling.pixel_steps if row.sampling else 0
            problem = (
                _too_large(row, limits.megapixels)
                or _too_many_texts(row)
                or _above(row, _HELD_SO_FAR, held / MEGAPIXEL, limits.total_megapixels)
                or _above(row, _SAMPLERS_SO_FAR, samplers, limits.samplers)
                or _above(row, _SAMPLED_SO_FAR, pixel_steps / MEGAPIXEL, limits.megapixel_steps)
            )
            if problem is not None:
                raise problem

    @property
    def dearest(self) -> str:
        """The node that takes longest, as far as can be told."""
        return max(
            self.nodes,
            key=lambda row: (row.sampling.pixel_steps if row.sampling else 0, row.seconds),
        ).node

    @property
    def work(self) -> Work:
        """For an estimate, which is an upper bound: each model counts as Flux, the dearest.

        To be asked only of a demand within limits.
        """
        seconds = sum(row.seconds for row in self.nodes)
        works = [
            Work(
                images=ceil(each.batch),
                steps=ceil(each.steps),
                width=ceil(each.width),
                height=ceil(each.height),
                model="flux-dev",
            )
            for each in (row.sampling for row in self.nodes)
            if each is not None
        ]
        first = Work(0, 0, 0, 0, model="flux-dev", other_seconds=seconds)
        return reduce(lambda then, work: replace(work, then=then), works, first)


class _Words(NamedTuple):
    said: str
    unit: str
    setting: str


_HELD_SO_FAR = _Words("its pictures, with those before it, have", "megapixels", "TOTAL_MEGAPIXELS")
_SAMPLERS_SO_FAR = _Words("it is, with those before it, one of", "samplers", "SAMPLERS")
_SAMPLED_SO_FAR = _Words(
    "its sampling, with that before it, is", "megapixels times steps", "MEGAPIXEL_STEPS"
)


def _too_large(row: NodeDemand, megapixels: int) -> GraphRejected | None:
    large = row.largest
    if large.pixels == inf:
        return _refusal(
            row,
            "the size of what it makes cannot be told",
            None,
            "Write both width and height; a 0 follows from a ratio that is not known here.",
        )
    made = f"it makes {large.batch:,.0f} x {large.width:,.0f} x {large.height:,.0f} pixels:"
    words = _Words(made, "megapixels", "MEGAPIXELS")
    return _above(row, words, large.pixels / MEGAPIXEL, megapixels)


def _too_many_texts(row: NodeDemand) -> GraphRejected | None:
    if row.texts <= MAX_TEXTS:
        return None
    return _refusal(
        row,
        f"it puts {row.texts:,.0f} texts into one conditioning, at most {MAX_TEXTS} are taken",
        row.texts,
        "Combine fewer texts: the model is run for each of them in every step.",
    )


def _above(row: NodeDemand, words: _Words, value: float, limit: int) -> GraphRejected | None:
    if value <= limit:
        return None
    return _refusal(
        row,
        f"{words.said} {value:,.0f} {words.unit}, at most {limit:,} are taken",
        round(value),
        f"Ask for less before this node; RYLA_GRAPH_{words.setting} is the limit.",
    )


def _refusal(row: NodeDemand, said: str, value: object, hint: str) -> GraphRejected:
    return GraphRejected(
        f"node {row.node} ({row.class_type}): {said}",
        field=f"input.workflow.{row.node}",
        value=value,
        hint=hint,
    )


_PIXELS = ("IMAGE", "MASK", "LATENT", "VIDEO")
_HELD = ("IMAGE", "MASK")

# Seconds for each 2**20 pixels that a node puts out or saves, on one core of a server. Pillow and
# scipy on random pixels: PNG 0.12, WebP at its slowest 0.4, one pass of a 3x3 dilation 0.025. The
# VAE's are an L40S's, by its peak rate, from 0.10 on an H200 (pipeline/costs.py).
_SECONDS_PER_MP: Mapping[str, float] = MappingProxyType(
    {
        "GrowMask": 0.025,
        "PreviewImage": 0.17,
        "SaveAnimatedPNG": 0.17,
        "SaveAnimatedWEBP": 0.4,
        "SaveImage": 0.17,
        "SaveImageWebsocket": 0.17,
        "SaveVideo": 0.1,
        "VAEDecode": 0.28,
        "VAEDecodeTiled": 0.42,
        "VAEEncode": 0.28,
        "VAEEncodeForInpaint": 0.28,
        "VAEEncodeTiled": 0.42,
    }
)
_OTHER_SECONDS_PER_MP = 0.02
_TEXT_SECONDS = 0.08


def demand(
    nodes: Sequence[Node],
    interfaces: Mapping[str, NodeInterface],
    pictures: Mapping[str, Size],
    unknown: Size,
) -> Demand:
    """Of the nodes that run, each behind those that it is linked to.

    `pictures` has the sizes of those that are loaded, by their names in the graph; others are
    taken to be of the size `unknown`.
    """
    made: dict[Link, Extent] = {}
    rows: list[NodeDemand] = []
    for node in nodes:
        interface = interfaces.get(node.class_type)
        types = _PACK_OUTPUTS.get(node.class_type, ()) if interface is None else interface.output
        inputs = _read(node, made)
        size = pictures.get(str(node.inputs.get("image")), unknown)
        given = outputs(node.class_type, types, inputs, size)
        made |= {Link(node.id, n): each for n, each in enumerate(given)}
        # What a saver hands on is held already.
        holds = interface is None or not interface.output_node
        rows.append(_row(node, types, inputs, given, holds=holds))
    return Demand(rows)


_PACK_OUTPUTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"ClownsharKSampler_Beta": ("LATENT", "LATENT"), "Sigmas Rescale": ("SIGMAS",)}
)


def _read(node: Node, made: Mapping[Link, Extent]) -> dict[str, Extent | float | str]:
    found: dict[str, Extent | float | str] = {}
    for name, value in node.inputs.items():
        if isinstance(value, Link):
            if value in made:
                found[name] = made[value]
        elif value is not None:
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> float | str:
    """ComfyUI takes a number that is written as text."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)


def _row(
    node: Node, types: Sequence[str], inputs: Inputs, outputs: Sequence[Extent], *, holds: bool
) -> NodeDemand:
    shown = [each for kind, each in zip(types, outputs, strict=False) if kind in _PIXELS]
    held = [each for kind, each in zip(types, outputs, strict=False) if holds and kind in _HELD]
    texts = [each.texts for kind, each in zip(types, outputs, strict=False)
             if kind == "CONDITIONING"]  # fmt: skip
    saved = shown or [each for each in inputs.values() if isinstance(each, Extent)]
    largest = max(saved, key=lambda each: each.pixels, default=Extent())
    return NodeDemand(
        node.id,
        node.class_type,
        largest,
        texts=max(texts, default=1),
        held=sum(each.pixels for each in held),
        seconds=_seconds(node.class_type, inputs, largest),
        sampling=_sampling(node, inputs),
    )


def _seconds(class_type: str, inputs: Inputs, largest: Extent) -> float:
    each = _SECONDS_PER_MP.get(class_type, _OTHER_SECONDS_PER_MP)
    times = abs(number(inputs, "expand")) if class_type == "GrowMask" else 1.0
    text = _TEXT_SECONDS if class_type.startswith("CLIPTextEncode") else 0.0
    return each * times * largest.pixels / MEGAPIXEL + text


def _sampling(node: Node, inputs: Inputs) -> Sampling | None:
    if not is_sampler(node.class_type):
        return None
    latent = extent(inputs, "latent_image")
    steps = max(number(inputs, "steps"), extent(inputs, "sigmas").steps)
    each = runs(inputs) * _passes(inputs) * extent(inputs, "sampler").passes
    return Sampling(latent.width, latent.height, latent.batch, steps * each)


def is_sampler(class_type: str) -> bool:
    return class_type.startswith(("KSampler", "SamplerCustom", "ClownsharKSampler")) and (
        class_type != "KSamplerSelect"
    )


def _passes(inputs: Inputs) -> float:
    """Runs of the model for one look at a latent: one for each text, and for each patch."""
    guider = inputs.get("guider")
    if isinstance(guider, Extent):
        return guider.passes
    texts = [extent(inputs, "positive").passes]
    if inputs.get("cfg") != 1.0:
        texts.append(extent(inputs, "negative").passes)
    return sum(texts) + extent(inputs, "model").passes - 1

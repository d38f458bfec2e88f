"""What the stand-in's nodes compute: pictures and their sizes; everything else is a token.

Classes whose result can be seen have a function of their own. Any other class of the interface
table works by its output types: an image in goes out again, a missing one is rendered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageChops

from handlers.comfyui.standin import reference_face, save_nodes
from handlers.comfyui.standin.execution_order import Graph
from handlers.comfyui.standin.faults import Fault, Faults
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.recipe import recipe
from handlers.comfyui.standin.render import render
from handlers.comfyui.standin.sitter import sitting
from workflows.interfaces import NodeInterface

Images = tuple[Image.Image, ...]
_MAX_FRAMES = 8
"""Frames rendered of a video, however long it is asked to be."""
_VIDEO_SAVERS = {"SaveVideo", "SaveWEBM", "SaveAnimatedWEBP", "SaveAnimatedPNG"}


@dataclass(frozen=True)
class Latent:
    width: int
    height: int
    count: int
    """Pictures in the batch, or frames of a video."""
    encoded: Images = ()
    """The pictures that it was encoded from, if it was."""


@dataclass(frozen=True)
class Result:
    outputs: tuple[Any, ...]
    ui: Mapping[str, Any] | None = None
    """What history lists for an output node."""
    streamed: Images = ()
    """Pictures that go over the socket instead of into a file."""


@dataclass(frozen=True)
class Job:
    """What a node can see beside its inputs."""

    options: Options
    graph: Graph
    signatures: Mapping[str, str]
    extra_data: Mapping[str, Any]
    faults: Faults

    def metadata(self) -> dict[str, Any] | None:
        if not self.options.metadata:
            return None
        return {"prompt": self.graph, **(self.extra_data.get("extra_pnginfo") or {})}


def evaluate(job: Job, node_id: str, interface: NodeInterface, values: dict[str, Any]) -> Result:
    """Run one node on the values of its inputs. Raises whatever ComfyUI's node would."""
    if interface.output_node:
        # Since ComfyUI 0.33 those that save pictures or a video hand them on.
        shown = _images(values.get("images")) or _images(values.get("video"))
        passed = (shown,) * len(interface.output)
        return replace(_save(job, interface.name, values), outputs=passed)
    own = _OWN.get(interface.name)
    if own is not None:
        return Result(own(job, values))
    outputs = tuple(_by_type(job, node_id, kind, values) for kind in interface.output)
    return Result(outputs)


def _save(job: Job, class_type: str, values: dict[str, Any]) -> Result:
    images = _images(values.get("images")) or _images(values.get("video"))
    if not images:
        return Result((), ui={"text": [str(value) for value in values.values()]})
    if class_type == "SaveImageWebsocket":
        return Result((), streamed=images)
    prefix = str(values.get("filename_prefix", "ComfyUI"))
    if class_type in _VIDEO_SAVERS:
        return Result((), save_nodes.save_animation(images, prefix, job.options.output))
    if class_type == "PreviewImage":
        prefix = f"ComfyUI_temp_{job.signatures[next(iter(job.graph))][:5]}"
        return Result((), save_nodes.save_pngs(images, prefix, job.options.temp, "temp", None))
    garbage = Fault.GARBAGE_OUTPUT in job.faults
    ui = save_nodes.save_pngs(
        images, prefix, job.options.output, "output", job.metadata(), garbage=garbage
    )
    return Result((), ui)


def _by_type(job: Job, node_id: str, kind: str, values: dict[str, Any]) -> Any:
    given = values.values()
    latent = next((value for value in given if isinstance(value, Latent)), None)
    images = next(filter(None, map(_images, given)), None)
    if kind == "LATENT":
        return latent or _new_latent(values, images)
    if kind in ("IMAGE", "VIDEO", "COMFY_MATCHTYPE_V3"):
        return images or _decoded(job, node_id, latent or _new_latent(values, None))
    return None


def _images(value: Any) -> Images | None:
    return value if isinstance(value, tuple) and value else None


def _new_latent(values: Mapping[str, Any], images: Images | None) -> Latent:
    if images:
        return Latent(*images[0].size, len(images), images)
    count = int(values.get("batch_size", 1)) * int(values.get("length", 1))
    return Latent(int(values.get("width", 512)), int(values.get("height", 512)), count)


def _decoded(job: Job, node_id: str, latent: Latent) -> Images:
    made = recipe(job.graph, node_id, job.signatures)
    wrong = job.faults.turn_wrong(made.seed)
    person = sitting(
        job.graph, node_id, job.extra_data, job.options.input, made, turned_wrong=wrong
    )
    if latent.encoded:
        return latent.encoded if person is None else tuple(map(person.made_anew, latent.encoded))
    shown = (person.composed,) if person else ()
    return tuple(
        render(replace(made, seed=made.seed + n), latent.width, latent.height, *shown)
        for n in range(min(latent.count, _MAX_FRAMES))
    )


def _load_image(job: Job, values: dict[str, Any]) -> tuple[Any, ...]:
    return (reference_face.opened(job.options.input, values["image"]),), None


def _load_mask(job: Job, values: dict[str, Any]) -> tuple[Any, ...]:
    """A picture without transparency masks nothing."""
    image = reference_face.opened(job.options.input, values["image"])
    bands = dict(zip(("red", "green", "blue"), image.split(), strict=True))
    return (bands.get(values["channel"], Image.new("L", image.size)),)


def _solid_mask(_: Job, values: dict[str, Any]) -> tuple[Any, ...]:
    return (Image.new("L", (values["width"], values["height"]), round(255 * values["value"])),)


def _feathered_mask(_: Job, values: dict[str, Any]) -> tuple[Any, ...]:
    mask = values["mask"]
    across = _ramp(mask.width, values["left"], values["right"])
    down = _ramp(mask.height, values["top"], values["bottom"]).transpose(Image.Transpose.ROTATE_270)
    for ramp in (across, down):
        mask = ImageChops.multiply(mask, ramp.resize(mask.size))
    return (mask,)


def _ramp(length: int, near: int, far: int) -> Image.Image:
    """A row that rises from its near end and falls to its far one."""
    row = Image.new("L", (length, 1), 255)
    for at in range(length):
        rise = min(1.0, (at + 1) / near if near else 1.0, (length - at) / far if far else 1.0)
        row.putpixel((at, 0), round(255 * rise))
    return row


def _crop(_: Job, values: dict[str, Any]) -> tuple[Any, ...]:
    left, top = values["x"], values["y"]
    box = (left, top, left + values["width"], top + values["height"])
    return (tuple(image.crop(box) for image in values["image"]),)


def _scale(_: Job, values: dict[str, Any]) -> tuple[Any, ...]:
    """A side of 0 follows from the other one."""
    width, height = values["image"][0].size
    wide = values["width"] or round(width * values["height"] / height)
    high = values["height"] or round(height * values["width"] / width)
    return (_resized(values["image"], wide or width, high or height),)


def _scale_by(_: Job, values: dict[str, Any]) -> tuple[Any, ...]:
    width, height = values["image"][0].size
    return (_resized(values["image"], width * values["scale_by"], height * values["scale_by"]),)


def _resized(images: Sequence[Image.Image], width: float, height: float) -> Images:
    size = (max(1, round(width)), max(1, round(height)))
    return tuple(image.resize(size, Image.Resampling.LANCZOS) for image in images)


def _composite(_: Job, values: dict[str, Any]) -> tuple[Any, ...]:
    pasted, source, mask = values["destination"][0].copy(), values["source"][0], values.get("mask")
    mask = mask.resize(source.size) if isinstance(mask, Image.Image) else None
    pasted.paste(source, (values["x"], values["y"]), mask)
    return ((pasted,),)


_OWN: Mapping[str, Callable[[Job, dict[str, Any]], tuple[Any, ...]]] = {
    "LoadImage": _load_image,
    "LoadImageMask": _load_mask,
    "SolidMask": _solid_mask,
    "FeatherMask": _feathered_mask,
    "ImageCrop": _crop,
    "ImageScale": _scale,
    "ImageScaleBy": _scale_by,
    "ImageCompositeMasked": _composite,
}

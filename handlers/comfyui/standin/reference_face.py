"""What a graph says of the person in its pictures: whose face, and how strictly.

A reference in which no face is found is pasted in as it is: a composition shows it in colours half
wrong, and what InstantID makes of it comes near the right ones.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image, ImageOps

from handlers.comfyui.standin.execution_order import Graph, ancestry, is_link

HINT = "ryla_sitter"
"""In a prompt's `extra_data`: the input file of who is to be seen."""
APPLIES = ("ApplyInstantID", "ApplyInstantIDAdvanced")
WIDTH, HEIGHT, TOP = 0.7, 0.6, 0.12
"""Of the picture: the room that the reference may take, and where it begins."""
FULL_STRENGTH = 0.8
"""Of InstantID, from which on a face comes no nearer."""
LEAST_LIKENESS = 0.7
"""Of an unlucky seed at full strength, 0 to 1."""


def reference_face(graph: Graph, node_id: str, extra_data: Mapping[str, Any]) -> str | None:
    """The input file of who sits for what this node decodes."""
    applied = _nearest(graph, node_id, APPLIES)
    if applied is not None:
        return _loaded(graph, graph[applied]["inputs"].get("image"))
    hint = extra_data.get(HINT)
    return hint if isinstance(hint, str) else None


def likeness(graph: Graph, node_id: str, seed: int) -> float:
    """0 is somebody else, or half the wrong colours; 1 the person of the reference."""
    applied = _nearest(graph, node_id, APPLIES)
    if applied is None:
        return 0.0
    inputs = graph[applied]["inputs"]
    strength = inputs.get("ip_weight", inputs.get("weight", 1.0))
    full = float(strength) / FULL_STRENGTH if isinstance(strength, int | float) else 1.0
    luck = LEAST_LIKENESS + (1 - LEAST_LIKENESS) * Random(seed).random()
    return luck * min(1.0, full)


def control_image(graph: Graph, node_id: str) -> str | None:
    """The input file that InstantID is given for the places of eyes, nose and mouth."""
    applied = _nearest(graph, node_id, APPLIES)
    return None if applied is None else _loaded(graph, graph[applied]["inputs"].get("image_kps"))


def seated(picture: Image.Image, reference: Image.Image, likeness: float) -> Image.Image:
    """The picture with the reference in it."""
    room = (round(picture.width * WIDTH), round(picture.height * HEIGHT))
    person = ImageOps.contain(reference, (max(1, room[0]), max(1, room[1])))
    red, green, blue = person.split()
    strange = Image.merge("RGB", (blue, green, red))
    person = Image.blend(strange, person, (1 + likeness) / 2)  # a blue face is not taken for one
    shown = picture.copy()
    shown.paste(person, ((picture.width - person.width) // 2, round(picture.height * TOP)))
    return shown


def made_anew(
    graph: Graph,
    node_id: str,
    inputs: Path,
    encoded: Sequence[Image.Image],
    reference: Image.Image,
    likeness: float,
) -> tuple[Image.Image, ...]:
    """Encoded pictures sampled anew: a cut-out shows its part of the whole picture."""
    cut = _nearest(graph, node_id, ("ImageCrop",))
    whole = _loaded(graph, graph[cut]["inputs"].get("image")) if cut is not None else None
    if cut is None or whole is None:
        return tuple(seated(image, reference, likeness) for image in encoded)
    x, y, width, height = (graph[cut]["inputs"][name] for name in ("x", "y", "width", "height"))
    composed = seated(opened(inputs, whole), reference, likeness)
    part = composed.crop((x, y, x + width, y + height))
    return tuple(part.resize(image.size, Image.Resampling.LANCZOS) for image in encoded)


def input_path(folder: Path, name: str) -> Path:
    """The file of a LoadImage value. Raises FileNotFoundError for one outside the input folder."""
    path = (folder / name.removesuffix(" [input]")).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise FileNotFoundError(name)
    return path


def opened(folder: Path, name: str) -> Image.Image:
    """An input file as LoadImage takes it. Raises OSError when it is not there."""
    with Image.open(input_path(folder, name)) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _nearest(graph: Graph, node_id: str, classes: Sequence[str]) -> str | None:
    found = (each for each in ancestry(graph, node_id) if graph[each]["class_type"] in classes)
    return next(found, None)


def _loaded(graph: Graph, link: Any) -> str | None:
    """The file behind a link to a LoadImage, or the first one of a batch."""
    while is_link(link) and graph[link[0]]["class_type"] == "ImageBatch":
        link = graph[link[0]]["inputs"].get("image1")
    if not is_link(link) or graph[link[0]]["class_type"] != "LoadImage":
        return None
    name = graph[link[0]]["inputs"].get("image")
    return name if isinstance(name, str) else None

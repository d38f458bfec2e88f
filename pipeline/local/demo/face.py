"""The person of the demo's InstantID jobs: drawn, so that nobody's likeness is used."""

import io
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image, ImageDraw, ImageFilter

from config.settings import Settings
from handlers.faces.measurement import FaceUse
from pipeline.contract.result import Status
from pipeline.local.demo.manifests import Example
from pipeline.models.face_packs import faces_folder, is_there, load_finder, pack_for
from pipeline.store.conditional import SafeStore

KEY = "inputs/demo-sitter.png"
BOXED = "flux-instantid"
"""The kind that must find a face before it can do anything; so must a sheet of its bases."""


def add_demo_sitter(store: SafeStore, examples: Sequence[Example]) -> None:
    """If an example asks for it."""
    if any(map(_sits, examples)):
        store.write(KEY, drawn(), "image/png")


def with_faces_expected(examples: Sequence[Example], settings: Settings) -> list[Example]:
    """The examples as they must end here: refused without a face model where a box is needed,
    failed where the model does not take a drawn face for one."""
    if not any(map(_sits, examples)):
        return list(examples)
    if not is_there(faces_folder(settings), pack_for(settings, FaceUse.BOX)):
        return [
            replace(each, expected=Status.REJECTED) if _sits(each) and _boxed(each) else each
            for each in examples
        ]
    if load_finder(settings, FaceUse.BOX).find_faces(drawn()):
        return list(examples)
    return [replace(each, expected=Status.FAILED) if _sits(each) else each for each in examples]


def _sits(example: Example) -> bool:
    given = example.input
    return KEY in (given.get("reference_image"), *given.get("reference_images", ()))


def _boxed(example: Example) -> bool:
    """Whether a face must be found in its pictures before anything can be done."""
    return example.model == BOXED or example.input.get("base", "sdxl") != "sdxl"


def drawn() -> bytes:
    """A head and shoulders, 768 x 768, as PNG. The same bytes every time."""
    image = Image.new("RGB", (768, 768), (150, 160, 165))
    draw = ImageDraw.Draw(image)
    draw.ellipse((120, 600, 648, 1000), (70, 82, 104))
    draw.ellipse((196, 96, 572, 640), (52, 36, 30))
    draw.rectangle((322, 520, 446, 690), (196, 148, 122))
    draw.ellipse((226, 150, 542, 600), (222, 176, 148))
    draw.chord((210, 96, 558, 420), 180, 360, (52, 36, 30))
    for x in (310, 458):
        draw.arc((x - 52, 292, x + 52, 352), 200, 340, (60, 40, 32), 9)
        draw.ellipse((x - 36, 338, x + 36, 374), (246, 242, 238))
        draw.ellipse((x - 17, 338, x + 17, 374), (72, 52, 40))
        draw.ellipse((x - 7, 349, x + 7, 363), (16, 12, 12))
        draw.arc((x - 40, 328, x + 40, 384), 190, 350, (60, 40, 36), 5)
    draw.polygon(((384, 366), (360, 452), (408, 452)), (208, 158, 132))
    draw.arc((354, 430, 414, 466), 20, 160, (150, 100, 84), 5)
    draw.ellipse((332, 496, 436, 540), (178, 84, 82))
    draw.line((336, 517, 432, 517), (120, 50, 52), 5)
    out = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(3)).save(out, "PNG")
    return out.getvalue()

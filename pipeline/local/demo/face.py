"""The people of the demo's jobs: drawn, so that nobody's likeness is used."""

import io
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace

from PIL import Image, ImageDraw, ImageFilter

from config.settings import Settings
from handlers.comfyui.standin import figure
from handlers.comfyui.standin.people import drawn_person
from handlers.faces.head import Head
from handlers.faces.landmark_image import landmarks
from handlers.faces.measurement import FaceUse
from handlers.faces.view import Framing
from pipeline.contract.result import Status
from pipeline.local.demo.manifests import Example
from pipeline.models.face_packs import faces_folder, is_there, load_finder, pack_for
from pipeline.store.conditional import SafeStore

BOXED = "flux-instantid"
"""The kind that must find a face before it can do anything; so must a sheet of its bases."""


def add_demo_people(store: SafeStore, examples: Sequence[Example]) -> None:
    """The pictures that an example asks for."""
    for key in {key for example in examples for key in _people(example)}:
        store.write(key, PEOPLE[key](), "image/png")


def with_faces_expected(examples: Sequence[Example], settings: Settings) -> list[Example]:
    """The examples as they must end here: refused without a face model where a box is needed,
    failed where the model does not take a drawn face for one."""
    wanted = {key for example in examples for key in _people(example)}
    if not wanted:
        return list(examples)
    if not is_there(faces_folder(settings), pack_for(settings, FaceUse.BOX)):
        return [
            replace(each, expected=Status.REJECTED) if _people(each) and _boxed(each) else each
            for each in examples
        ]
    finder = load_finder(settings, FaceUse.BOX)
    found = {key for key in wanted if finder.find_faces(PEOPLE[key]())}
    return [
        each if _people(each) <= found else replace(each, expected=Status.FAILED)
        for each in examples
    ]


def _people(example: Example) -> Set[str]:
    """Keys of the demo's pictures that it names."""
    named = example.input.get("reference_image"), *example.input.get("reference_images", ())
    return PEOPLE.keys() & set(named)


def _boxed(example: Example) -> bool:
    """Whether a face must be found in its pictures before anything can be done."""
    return example.model == BOXED or example.input.get("base", "sdxl") != "sdxl"


def rosa(yaw: float) -> bytes:
    """Head and shoulders of a drawn woman, 640 x 800, as PNG, her head turned by so many degrees.
    The same bytes every time."""
    size = (640, 800)
    ground = Image.new("RGB", size, (150, 160, 165))
    places = landmarks(Head(yaw=yaw), Framing.CLOSE_UP, size)
    out = io.BytesIO()
    figure.shown(ground, drawn_person("rosa"), None, 1.0, places).save(out, "PNG")
    return out.getvalue()


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


PEOPLE: Mapping[str, Callable[[], bytes]] = {
    "inputs/demo-sitter.png": drawn,
    "inputs/demo-rosa-front.png": lambda: rosa(yaw=0),
    "inputs/demo-rosa-left.png": lambda: rosa(yaw=-20),
    "inputs/demo-rosa-right.png": lambda: rosa(yaw=18),
}
"""Key → picture: one of a sitter, three of a woman of whom sheets are made."""

"""The InstantID kinds against a whole server. Their faces are told from outside, as ever."""

import io
import uuid
from typing import Any

import pytest
from PIL import Image, ImageChops

from config.tables import load_models
from handlers.base import Brief, Kind, Rendered
from handlers.comfyui.client import ComfyClient
from handlers.faces.boxes import Box, Face
from handlers.faces.measuring import FaceUse
from handlers.flux_instantid import FluxInstantId
from handlers.instantid import SdxlInstantId
from handlers.supplies import Supplies
from tests.comfyui.conftest import MICRO_MODELS
from tests.support.comfy_wire import Server
from tests.support.portraits import portrait
from tests.support.studios import WireStudio

MODELS = load_models(MICRO_MODELS)
ANNA = portrait({"anna": Box(240, 140, 160, 200)})
PLACE = Box(90, 70, 60, 80)


class OneFace:
    """Sees a face at the same place of every picture."""

    embedder = "one"

    def find_faces(self, picture: bytes) -> list[Face]:
        return [Face(PLACE, 0.9, (1.0,), ())]


@pytest.fixture
def instantid(server: Server) -> Server:
    """A server that has InstantID and its micro models."""
    if not server.real:
        return server
    nodes = server.get("/object_info").json()
    wanted = MODELS.weights("sdxl-instantid")["instantid"].file
    loader = nodes.get("InstantIDModelLoader")
    if loader is None or wanted not in str(loader):
        pytest.skip(f"this ComfyUI has no ComfyUI_InstantID, or not {wanted}")
    return server


def make(server: Server, kind: Kind[Any], **fields: Any) -> Rendered:
    given = {
        "prompt": "a portrait",
        "reference_image": "inputs/anna.png",
        "width": 256,
        "height": 256,
        "steps": 1,
    }
    request = kind.input_model.model_validate(given | fields)
    supplies = Supplies(pictures={"reference_image": ANNA})
    brief = Brief(uuid.uuid4().hex, 1, request, 7, supplies)
    finders = {FaceUse.BOX: OneFace(), FaceUse.SCORE: OneFace()}
    with ComfyClient(server.url) as client:
        (made,) = kind.run(brief, MODELS, WireStudio(client, finders))
    return made


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body)).convert("RGB")


def test_sdxl_makes_a_picture_of_the_reference(instantid: Server) -> None:
    made = make(instantid, SdxlInstantId())

    assert opened(made.body).size == (256, 256)


def test_a_face_pass_changes_the_face_and_nothing_outside_its_box(instantid: Server) -> None:
    made = make(instantid, FluxInstantId(side=256), face_steps=1, keep_composition=True)

    assert made.composition is not None
    assert made.face is not None
    box = made.face.resampled
    assert box == Box(40, 30, 160, 160)
    changed = ImageChops.difference(opened(made.body), opened(made.composition)).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert box.x <= left < right <= box.right
    assert box.y <= top < bottom <= box.bottom

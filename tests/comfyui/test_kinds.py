"""Every kind on a whole server, through a worker's own studio: what its pixels depend on.

On a real ComfyUI with micro models a picture is noise, but noise that follows from the job.
"""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from config.errors import NoFace
from config.settings import Settings
from config.tables import load_models
from handlers.comfyui.client import ComfyClient
from handlers.faces.boxes import Box, Face, FaceFinder
from handlers.faces.measurement import FaceUse
from handlers.kinds.base import JobRequest, Kind, Rendered
from handlers.kinds.flux_instantid import FluxInstantId
from handlers.kinds.registry import KINDS
from handlers.kinds.requirements import LoraFile, Supplies
from pipeline.models.face_packs import FaceModels
from pipeline.worker.comfyui import ComfyGraphRunner
from tests.comfyui.conftest import MICRO_MODELS, SETS
from tests.comfyui.micro.make_models import loras
from tests.support.comfy_wire import Server, flux_graph
from tests.support.portraits import portrait
from workflows.interfaces import committed
from workflows.validation import require_valid

pytestmark = pytest.mark.xdist_group("faces")

MODELS = load_models(Path(os.environ.get("RYLA_COMFYUI_MODELS_FILE", MICRO_MODELS)))
FLUX_LORA, Z_IMAGE_LORA = (Path(name).name for name in loras())
ANNA, BEN = (portrait({name: Box(240, 140, 160, 200)}) for name in ("anna", "ben"))
PLACE = Box(90, 70, 60, 80)
POINTS = ((105.0, 100.0), (135.0, 100.0), (120.0, 115.0), (108.0, 130.0), (132.0, 130.0))
SIZE = (256, 256)


@dataclass(frozen=True)
class Case:
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    lora: str | None = None


LORA = {"lora_name": "any"}
PERSON = {"reference_image": "inputs/person.png", "controlnet_strength": 0.5}
TWO_PASSES = PERSON | {"face_steps": 2, "keep_composition": True}
PLAIN = {
    "flux-dev": Case("flux-dev"),
    "flux-schnell": Case("flux-schnell"),
    "flux-lora": Case("flux-lora", LORA, FLUX_LORA),
    "z-image-turbo": Case("z-image-turbo"),
    "z-image-turbo-lora": Case("z-image-turbo", LORA, Z_IMAGE_LORA),
    "workflow": Case("workflow"),
}
WITH_FACES = {
    "sdxl-instantid": Case("sdxl-instantid", PERSON),
    "flux-instantid-flux-dev": Case("flux-instantid", TWO_PASSES | {"base": "flux-dev"}),
    "flux-instantid-z-image": Case("flux-instantid", TWO_PASSES | {"base": "z-image-turbo"}),
}
CASES = PLAIN | WITH_FACES


@dataclass(frozen=True)
class InNoise:
    """Finds the faces of drawn people, and one at PLACE in everything else."""

    finder: FaceFinder

    @property
    def embedder(self) -> str:
        return self.finder.embedder

    @property
    def embedder_sha256(self) -> str:
        return self.finder.embedder_sha256

    def find_faces(self, picture: bytes) -> list[Face]:
        if picture in (ANNA, BEN):
            return self.finder.find_faces(picture)
        return [Face(PLACE, 0.9, (1.0,), POINTS)]


class NoiseShelf(FaceModels):
    """Where weights are random, what they compose has no face that a box could be put around."""

    def finder(self, use: FaceUse) -> FaceFinder:
        found = super().finder(use)
        return InNoise(found) if use is FaceUse.BOX else found


class CredulousShelf(FaceModels):
    """Sees a face in every picture."""

    def finder(self, use: FaceUse) -> FaceFinder:
        return InNoise(super().finder(use))


@dataclass(frozen=True)
class Maker:
    server: Server
    face_models: FaceModels

    def make(self, case: Case, *, seed: int = 7, person: bytes = ANNA) -> Rendered:
        made_by = _kind(case.kind)
        request = made_by.input_model.model_validate(self._fields(case))
        lora = LoraFile(case.lora, f"loras/{case.lora}", "0" * 64, "") if case.lora else None
        supplies = Supplies(lora, {"reference_image": person})
        job = JobRequest(uuid.uuid4().hex, 1, request, seed, supplies)
        for graph in made_by.graphs(job, MODELS):
            require_valid(graph, committed())
        with ComfyClient(self.server.url) as client:
            (made,) = made_by.run(job, MODELS, self._runner(client))
        return made

    def pixels(self, case: Case, **options: Any) -> bytes:
        return opened(self.make(case, **options).body).tobytes()

    def _fields(self, case: Case) -> dict[str, Any]:
        if case.kind == "workflow":
            graph = flux_graph(self.server, text="{{prompt}}", seed="{{seed}}", size=SIZE[0])
            return {"workflow": graph, "prompt": "a cat"}
        width, height = SIZE
        return {"prompt": "a cat", "width": width, "height": height, "steps": 2, **case.fields}

    def _runner(self, client: ComfyClient) -> ComfyGraphRunner:
        return ComfyGraphRunner(
            client,
            self.face_models,
            report=lambda fraction, node: None,
            should_stop=lambda: False,
            until=time.monotonic() + 100,
        )


def _kind(name: str) -> Kind[Any]:
    # The face pass at the 1024 pixels that SDXL wants would take a processor a minute.
    return FluxInstantId(side=SIZE[0]) if name == "flux-instantid" else KINDS[name]


def opened(body: bytes) -> Image.Image:
    with Image.open(BytesIO(body)) as image:
        return image.convert("RGB")


@pytest.fixture(scope="module")
def offered(server: Server) -> str:
    """All that the server's nodes can choose from."""
    return server.get("/object_info").text if server.real else ""


@pytest.fixture(scope="module")
def face_models(packs: Path, server: Server) -> FaceModels:
    """As a worker has one for all its jobs: the models are loaded once."""
    settings = Settings(faces_dir=packs)
    return NoiseShelf(settings) if server.real else FaceModels(settings)


@pytest.fixture
def maker_for(
    request: pytest.FixtureRequest, server: Server, offered: str
) -> Callable[[Case], Maker]:
    """Skips where the server lacks a model or a node of the case."""

    def maker(case: Case) -> Maker:
        faces = case in WITH_FACES.values()
        if server.real:
            sets = [name for name in SETS if "instantid" not in name or faces]
            wanted = [weight.file for name in sets for weight in MODELS.weights(name).values()]
            wanted += ["ApplyInstantIDAdvanced"] if faces else []
            wanted += [case.lora] if case.lora else []
            lacking = [name for name in wanted if f'"{name}"' not in offered]
            if lacking:
                pytest.skip(f"this ComfyUI has no {', '.join(lacking)}: see micro/README.md")
        if not faces:
            return Maker(server, FaceModels(Settings()))
        return Maker(server, request.getfixturevalue("face_models"))

    return maker


def test_no_kind_is_left_out() -> None:
    """A sheet's steps run the graphs of the InstantID kinds."""
    assert {case.kind for case in CASES.values()} == set(KINDS) - {"character-sheet"}


@pytest.mark.parametrize("name", CASES)
def test_the_pixels_follow_from_the_seed(maker_for: Callable[[Case], Maker], name: str) -> None:
    case = CASES[name]
    maker = maker_for(case)

    # In this order, as an equal job right after another would be answered from a cache.
    first, other, again = (opened(maker.make(case, seed=seed).body) for seed in (7, 8, 7))

    assert first.size == other.size == SIZE
    assert first.tobytes() != other.tobytes()
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize(
    ("with_lora", "without"),
    [("flux-lora", "flux-dev"), ("z-image-turbo-lora", "z-image-turbo")],
)
def test_a_lora_changes_the_pixels(
    maker_for: Callable[[Case], Maker], with_lora: str, without: str
) -> None:
    maker = maker_for(CASES[with_lora])

    assert maker.pixels(CASES[with_lora]) != maker.pixels(CASES[without])


@pytest.mark.parametrize("name", WITH_FACES)
def test_another_person_changes_the_pixels(maker_for: Callable[[Case], Maker], name: str) -> None:
    """Both faces lie at the same place: what tells them apart is the embedding alone."""
    maker = maker_for(CASES[name])

    images = [maker.pixels(CASES[name], person=person) for person in (ANNA, BEN)]

    assert images[0] != images[1]


def test_the_nodes_themselves_tell_of_a_reference_without_a_face(
    server: Server, maker_for: Callable[[Case], Maker], tmp_path: Path
) -> None:
    """As they must where our own look at it was mistaken."""
    if not server.real:
        pytest.skip("the stand-in's nodes look for no face")
    maker_for(WITH_FACES["sdxl-instantid"])
    maker = Maker(server, CredulousShelf(Settings(faces_dir=tmp_path)))

    with pytest.raises(NoFace, match="InstantID found no face"):
        maker.make(WITH_FACES["sdxl-instantid"], person=portrait({}))


def test_another_head_changes_the_pixels(maker_for: Callable[[Case], Maker]) -> None:
    """By the drawn landmarks, which take the place of the reference's own."""
    case = WITH_FACES["sdxl-instantid"]
    maker = maker_for(case)
    made = {
        maker.pixels(replace(case, fields=case.fields | {"head": head}))
        for head in (None, {"yaw": -35.0}, {"yaw": 35.0})
    }
    assert len(made) == 3


@pytest.mark.parametrize("name", ["flux-instantid-flux-dev", "flux-instantid-z-image"])
def test_the_face_pass_changes_no_pixel_outside_its_box(
    maker_for: Callable[[Case], Maker], name: str
) -> None:
    made = maker_for(CASES[name]).make(CASES[name])

    assert made.composition is not None
    assert made.face is not None
    box = made.face.resampled
    assert box is not None
    assert box.width * box.height < SIZE[0] * SIZE[1]
    changed = ImageChops.difference(opened(made.body), opened(made.composition)).getbbox()
    assert changed is not None
    left, top, right, bottom = changed
    assert box.x <= left < right <= box.right
    assert box.y <= top < bottom <= box.bottom

"""Jobs of every kind on a whole server, through a worker's own runner, and small.

Where weights are random nothing that they compose has a face, so one is said to be there.
"""

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from config.models import load_models
from handlers.comfyui.client import ComfyClient
from handlers.faces.boxes import Box, Face, FaceFinder
from handlers.faces.measurement import FaceUse
from handlers.kinds.base import JobRequest, Kind, PromptRun, Rendered
from handlers.kinds.flux_instantid import FluxInstantId
from handlers.kinds.registry import KINDS
from handlers.kinds.requirements import LoraFile, Supplies
from pipeline.models.face_packs import FaceModels
from pipeline.worker.comfyui import ComfyGraphRunner
from tests.comfyui.micro.make_models import loras
from tests.comfyui.micro.table import MICRO_MODELS
from tests.support.comfy_wire import Server, flux_graph
from tests.support.portraits import portrait
from workflows.graph import Graph
from workflows.own_interfaces import known
from workflows.validation import require_valid

MODELS = load_models(Path(os.environ.get("RYLA_COMFYUI_MODELS_FILE", MICRO_MODELS)))
FLUX_LORA, Z_IMAGE_LORA = (Path(name).name for name in loras())
ANNA, BEN = (portrait({name: Box(240, 140, 160, 200)}) for name in ("anna", "ben"))
SQUARE_ANNA = portrait({"anna": Box(240, 200, 160, 200)}, size=(640, 640))
SMALL_ANNA = portrait({"anna": Box(100, 60, 120, 150)}, size=(320, 400), light=0.8)
PEOPLE = (ANNA, BEN, SQUARE_ANNA, SMALL_ANNA)
PLACE = Box(90, 70, 60, 80)
POINTS = ((105.0, 100.0), (135.0, 100.0), (120.0, 115.0), (108.0, 130.0), (132.0, 130.0))
SIZE = (256, 256)


@dataclass(frozen=True)
class Case:
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    lora: str | None = None


LORA = {"lora_name": "any"}
PERSON = {"reference_image": "inputs/person.png", "controlnet_strength": 0.5, "max_tries": 1}
TWO_PASSES = PERSON | {"face_steps": 2, "keep_composition": True}
PLAIN = {
    "flux-dev": Case("flux-dev"),
    "flux-schnell": Case("flux-schnell"),
    "flux-lora": Case("flux-lora", LORA, FLUX_LORA),
    "flux-dev-step-cache": Case("flux-dev", {"step_cache": 0.08}),
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
        if picture in PEOPLE:
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
    runner: type[ComfyGraphRunner] = ComfyGraphRunner
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further ones of the runner."""

    def make(self, case: Case, *, seed: int = 7, people: Sequence[bytes] = (ANNA,)) -> Rendered:
        """The one picture of a job; `people` are its references, where it has any."""
        made_by = _kind(case.kind)
        images = _supplied(people)
        request = made_by.input_model.model_validate(self._fields(case, len(people)))
        lora = LoraFile(case.lora, f"loras/{case.lora}", "0" * 64, "") if case.lora else None
        supplies = Supplies(lora, images)
        job = JobRequest(uuid.uuid4().hex, 1, request, seed, supplies)
        for graph in made_by.graphs(job, MODELS):
            require_valid(graph, known())
        with ComfyClient(self.server.url) as client:
            (made,) = made_by.run(job, MODELS, self.runner_of(client))
        return made

    def pixels(self, case: Case, **options: Any) -> bytes:
        made = self.make(case, **options)
        return made.pixels.rgb if made.pixels else opened(made.body).tobytes()

    def runner_of(self, client: ComfyClient) -> ComfyGraphRunner:
        return self.runner(
            client,
            self.face_models,
            report=lambda fraction, node: None,
            should_stop=lambda: False,
            until=time.monotonic() + 600,
            **self.options,
        )

    def _fields(self, case: Case, people: int) -> dict[str, Any]:
        if case.kind == "workflow":
            graph = flux_graph(self.server, text="{{prompt}}", seed="{{seed}}", size=SIZE[0])
            return {"workflow": graph, "prompt": "a cat"}
        width, height = SIZE
        fields = {"prompt": "a cat", "width": width, "height": height, "steps": 2, **case.fields}
        if people > 1:
            fields["reference_image"] = None
            keys = tuple(f"inputs/person-{at}.png" for at in range(people))
            fields["reference_images"] = keys
        return fields


def _supplied(people: Sequence[bytes]) -> dict[str, bytes]:
    """Field → picture."""
    if len(people) == 1:
        return {"reference_image": people[0]}
    return {f"reference_images.{at}": person for at, person in enumerate(people)}


def _kind(name: str) -> Kind[Any]:
    # The face pass at the 1024 pixels that SDXL wants would take a processor a minute.
    return FluxInstantId(side=SIZE[0]) if name == "flux-instantid" else KINDS[name]


def opened(body: bytes) -> Image.Image:
    with Image.open(BytesIO(body)) as image:
        return image.convert("RGB")


@dataclass(frozen=True)
class ControlImages(ComfyGraphRunner):
    """Has, in the place of a picture that InstantID acts on, what its control net is given."""

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        return super().render(control_image(graph), part=part, parts=parts, then=then)


def control_image(graph: Graph) -> Graph:
    """The graph up to InstantID's node, and the control image saved; another graph as it is."""
    if all(node.id != "instantid" for node in graph):
        return graph
    shown = Graph()
    for node in graph:
        if node.class_type != "SaveImage":
            shown.add(node.class_type, id=node.id, **node.inputs)
    control = shown.add("MicroControlImage", conditioning=shown["instantid"].out(1)).out()
    prefix = graph["save"].inputs["filename_prefix"]
    shown.add("SaveImage", id="save", images=control, filename_prefix=prefix)
    return shown

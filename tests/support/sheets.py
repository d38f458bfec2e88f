"""Character sheets for tests: plans, and a maker that needs no ComfyUI."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from functools import cache
from io import BytesIO
from typing import Any

from PIL import Image

from config.settings import Settings
from handlers.character_sheet.combinations import Making, ScoredAgainst
from handlers.character_sheet.sheet_plan import (
    PlannedHead,
    PlannedIdentity,
    PlannedSampling,
    PlannedView,
    PlannedWeight,
    SheetPlan,
    Thresholds,
)
from handlers.faces.boxes import Box, Face, FaceFinder
from handlers.faces.head import Head
from handlers.faces.landmark_image import FACE_SHARE, landmarks
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceUse
from handlers.faces.view import Framing
from handlers.kinds.base import OutputFile, PromptRun, Timings
from pipeline.models.face_packs import FaceModels
from tests.support.instant_comfyui import InstantClient, InstantServer


def planned_view(number: int, making: Making = Making.FACE_PASS, **changes: Any) -> PlannedView:
    fields = {
        "nn": number,
        "id": f"v{number}",
        "head": None if making is Making.COMPOSED else PlannedHead(),
        "framing": Framing.CLOSE_UP,
        "prompt": "a person",
        "negative_prompt": "",
        "caption": "a person",
        "seeds": tuple(range(number * 10, number * 10 + 8)),
        "width": 512,
        "height": 512,
        "making": making,
    }
    return PlannedView.model_validate({**fields, **changes})


def sheet_plan(
    makings: Sequence[Making] = (Making.FACE_PASS, Making.FACE_PASS),
    attempts: int = 3,
    **changes: Any,
) -> SheetPlan:
    fields = {
        "job_id": "sheet",
        "name": "Ann",
        "base": "flux-dev",
        "making": makings[0],
        "composition_weights": {"checkpoint": PlannedWeight(file="base.safetensors")},
        "sampling": PlannedSampling(steps=2),
        "identity": PlannedIdentity(strength=0.8, controlnet_strength=0.65),
        "views": tuple(planned_view(at, making) for at, making in enumerate(makings, 1)),
        "thresholds": Thresholds(),
        "attempts_per_view": attempts,
        "min_views": 1,
        "scored_against": ScoredAgainst.REFERENCES,
    }
    return SheetPlan.model_validate({**fields, **changes})


SIDE = 512
"""Of every picture here."""
HEADS = {"front": Head(), "left": Head(-35.0), "right": Head(35.0), "side": Head(80.0)}


def sheet_manifest(
    views: Sequence[str] = ("front", "left"), base: str = "flux-dev", **changes: Any
) -> bytes:
    """Of views by these names; `back` is seen from behind. `input` has further fields."""
    size = {"width": SIDE, "height": SIDE}
    asked = [
        {"id": id, "back": True, "framing": "half"}
        if id == "back"
        else {"id": id, "head": asdict(HEADS[id]), "framing": "close-up"}
        for id in views
    ]
    given = {
        "name": "Ann",
        "reference_images": ["inputs/ann.png"],
        "base": base,
        "views": asked,
        "sizes": {"close_up": size, "half": size, "full": size},
        "min_views": 1,
        **changes.pop("input", {}),
    }
    return json.dumps(
        {"version": 1, "model": "character-sheet", "input": given, **changes}
    ).encode()


def face(head: Head, similar: float = 0.95, framing: Framing = Framing.CLOSE_UP) -> Face:
    """As it would be found in a picture of it."""
    points = landmarks(head, framing, (SIDE, SIDE))
    height = round(FACE_SHARE[framing] * SIDE)
    x, y = points[2]
    box = Box(round(x - height / 2), round(y - height / 2), height, height)
    return Face(box, 0.99, (similar, math.sqrt(1 - similar**2)), points)


Found = Sequence[Face]
Outcome = Callable[[str], Found | None]
"""The faces in the picture of a step, by its name such as `01-front.c1`; None leaves it to what
was asked for."""


class SheetServer(InstantServer):
    """A ComfyUI whose pictures are of one colour each, and faces that are found in them."""

    def __init__(self, outcome: Outcome = lambda name: None, step_s: float = 1.0) -> None:
        """Each picture takes `step_s` seconds of `now()`."""
        super().__init__()
        self.drawing = SheetClient(step_s)
        self.instant = self.drawing
        self.outcome = outcome

    def now(self) -> float:
        """Seconds that drawing took: the worker's monotonic clock."""
        return self.drawing.step_s * len(self.drawing.drawn)

    @property
    def steps(self) -> list[str]:
        """Names of all that was drawn, in order, what was lost among it."""
        return self.drawing.drawn

    def faces(self, settings: Settings) -> FaceModels:
        return KnownFaces(settings, self)


class SheetClient(InstantClient):
    def __init__(self, step_s: float) -> None:
        super().__init__(lambda **_: None)
        self.step_s = step_s
        self.drawn: list[str] = []
        self.names: dict[bytes, str] = {}
        """By picture."""

    def run(self, graph: Mapping[str, Any], **options: Any) -> PromptRun:
        [save] = [node for node in graph.values() if node["class_type"] == "SaveImage"]
        name = save["inputs"]["filename_prefix"].rpartition("/")[2]
        self.drawn.append(name)
        body = flat_picture(name)
        self.names[body] = name
        options["on_progress"](0.5, "KSampler")
        return PromptRun(
            options["prompt_id"], [OutputFile("save", "a.png", body)], Timings(1, 0, 2)
        )

    def upload_image(self, body: bytes, name: str) -> str:
        return name


@cache
def flat_picture(name: str) -> bytes:
    """Equal for equal names."""
    colour = hashlib.sha256(name.encode()).digest()[:3]
    file = BytesIO()
    Image.new("RGB", (SIDE, SIDE), (colour[0], colour[1], colour[2])).save(file, "PNG")
    return file.getvalue()


class KnownFaces(FaceModels):
    embedder = "known"
    embedder_sha256 = "0" * 64

    def __init__(self, settings: Settings, server: SheetServer) -> None:
        super().__init__(settings)
        self._server = server

    def finder(self, use: FaceUse) -> FaceFinder:
        return self

    def calibration(self) -> Calibration | None:
        return Calibration(
            date=date(2026, 1, 1),
            embedder=self.embedder,
            embedder_sha256=self.embedder_sha256,
            strangers_mean=0.0,
            same_mean=1.0,
            people=2,
            pictures=4,
        )

    def find_faces(self, image: bytes) -> list[Face]:
        name = self._server.drawing.names.get(image)
        if name is None:
            return [face(Head(), 1.0)]  # a reference
        said = self._server.outcome(name)
        if said is not None:
            return [*said]
        id = name.partition("-")[2].partition(".")[0]
        return [] if id == "back" else [face(HEADS[id])]

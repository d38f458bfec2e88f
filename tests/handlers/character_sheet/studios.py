"""Steps of a sheet made without a ComfyUI: in each picture is found what the test says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.errors import FaceModelsMissing
from config.settings import Settings
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.maker import Made, SheetMaker
from handlers.character_sheet.records import Composition, Picture, SheetRecords
from handlers.character_sheet.sheet_plan import SheetPlan, Thresholds
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.faces.boxes import Face, FaceFinder
from handlers.faces.head import Head
from handlers.faces.match import Calibration
from handlers.faces.measurement import FaceUse
from handlers.kinds.base import PromptRun
from tests.support.sheets import SIDE, SheetServer, face, flat_picture, planned_view, sheet_plan
from workflows.graph import Graph

PICTURE = Picture(key="k", bytes=1, sha256="s", width=SIDE, height=SIDE, content_type="image/png")


@dataclass
class Studio:
    """Draws flat pictures, and finds in each what it is told."""

    found: Sequence[Face] = (face(Head()),)
    blind_to: Sequence[FaceUse] = ()
    graphs: list[Graph] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    server: SheetServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = SheetServer(lambda _: self.found)

    def render(
        self, graph: Graph, *, part: int, parts: int, then: Graph | None = None
    ) -> PromptRun:
        self.graphs.append(graph)
        return self.server.drawing.run(
            graph.api(), prompt_id="p", on_progress=lambda fraction, node: None
        )

    def upload(self, body: bytes, name: str) -> str:
        self.uploads.append(body)
        return name

    def faces(self, use: FaceUse) -> FaceFinder:
        if use in self.blind_to:
            raise FaceModelsMissing("none here")
        return self.server.faces(Settings()).finder(use)

    def calibration(self) -> Calibration | None:
        return self.server.faces(Settings()).calibration()

    def has_time_for(self, seconds: float) -> bool:
        return True


def plan_of(making: Making, **changes: Any) -> SheetPlan:
    roles = ("unet", "clip_l", "t5", "vae", "checkpoint", "instantid", "controlnet")
    weights = {role: {"file": "w"} for role in roles}
    sampling = {"steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal"}
    fields = {
        "base": "sdxl" if making is Making.INSTANTID else "flux-dev",
        "references": ("inputs/ann.png",),
        "composition_weights": weights,
        "face_weights": weights,
        "sampling": {**sampling, "guidance": 3.5},
        "face_sampling": sampling,
        **changes,
    }
    return sheet_plan([making], **fields)


def make(
    plan: SheetPlan, step: Compose | MakeFace, studio: Studio, *made: Composition
) -> Mapping[str, Any]:
    maker = SheetMaker(plan, studio, (flat_picture("ann"),), attempt=1)
    done: Made = maker.make(
        step, SheetRecords.of(made), lambda picture: flat_picture("composed"), 0, 2
    )
    record = done.record(PICTURE, seconds=1.0)
    assert record.seed == plan.views[0].seeds[step.k - 1]
    return record.model_dump()


def classes(studio: Studio) -> set[str]:
    return {node["class_type"] for node in studio.graphs[0].api().values()}


COMPOSED = Composition(
    number=1,
    view="v1",
    k=1,
    seed=10,
    picture=PICTURE,
    seconds=1.0,
    box={"x": 150, "y": 100, "width": 190, "height": 190},
)


SIDE_ON = planned_view(1, Making.INSTANTID, head={"yaw": 80.0})
FRONTAL, PROFILE = flat_picture("ann"), flat_picture("ann from the side")


def profile_plan(**changes: Any) -> SheetPlan:
    return plan_of(
        Making.INSTANTID,
        **{
            "references": ("inputs/side.png", "inputs/ann.png"),
            "profiles_apart": True,
            "views": (SIDE_ON,),
            "thresholds": Thresholds(min_face_match=0.99),
            **changes,
        },
    )


def album_studio(found: Face, profile: Face) -> Studio:
    """What finds `profile` in the second reference, and `found` in what is made."""
    studio = Studio()
    studio.server = SheetServer(lambda name: (profile,) if name == "profile" else (found,))
    studio.server.drawing.names[PROFILE] = "profile"
    return studio


def made_of_both(plan: SheetPlan, studio: Studio) -> Mapping[str, Any]:
    maker = SheetMaker(plan, studio, (PROFILE, FRONTAL), attempt=1)
    done = maker.make(MakeFace(1, 1, None), SheetRecords(), lambda picture: b"", 0, 1)
    return done.record(PICTURE, seconds=1.0).model_dump()

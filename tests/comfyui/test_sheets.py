"""A small character sheet of each base on a real ComfyUI, every step by the graphs of its plan."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from config.settings import Settings
from handlers.character_sheet.input import CharacterSheetInput, Size, Sizes
from handlers.character_sheet.maker import Made, SheetMaker
from handlers.character_sheet.planner import plan_sheet
from handlers.character_sheet.records import AnyRecord, Choice, Picture, SheetRecords
from handlers.character_sheet.sheet import make_sheet
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.comfyui.client import ComfyClient
from handlers.faces.boxes import Box, Face, FaceFinder
from handlers.faces.head import five_points
from handlers.faces.landmark_image import FACE_HEIGHT, landmark_image, placed_pose
from handlers.faces.measurement import FaceUse
from handlers.kinds.requirements import LoraFile
from pipeline.models.face_packs import FaceModels
from tests.comfyui.kind_jobs import (
    ANNA,
    FLUX_LORA,
    MODELS,
    PEOPLE,
    SMALL_ANNA,
    WITH_FACES,
    Case,
    ControlImages,
    Maker,
    opened,
)
from tests.support.comfy_wire import Server

pytestmark = pytest.mark.xdist_group("faces")

SMALL = Size(width=512, height=512)
VIEWS = ("front", "three-quarter-left", "back")
LORA = LoraFile(FLUX_LORA, f"loras/{FLUX_LORA}", "0" * 64, "")


@dataclass
class AsAsked:
    """Sees in a composed picture the head that its view asks for, and people where they are."""

    finder: FaceFinder
    view: PlannedView | None = None

    @property
    def embedder(self) -> str:
        return self.finder.embedder

    @property
    def embedder_sha256(self) -> str:
        return self.finder.embedder_sha256

    def find_faces(self, picture: bytes) -> list[Face]:
        if picture in PEOPLE:
            return self.finder.find_faces(picture)
        assert self.view is not None
        return [] if self.view.back else [_face(self.view)]


def _face(view: PlannedView) -> Face:
    assert view.asked.head is not None
    pose = placed_pose(view.asked.head, view.framing, (view.width, view.height))
    points = pose.placed(five_points(view.asked.head))
    x, y = (sum(each) / len(points) for each in zip(*points, strict=True))
    side = round(FACE_HEIGHT * pose.eye_distance)
    box = Box(round(x - side / 2), round(y - side / 2), side, side)
    return Face(box, 0.9, (1.0, *[0.0] * 511), points)


class OneFinder(FaceModels):
    def __init__(self, finder: FaceFinder) -> None:
        super().__init__(Settings())
        self._finder = finder

    def finder(self, use: FaceUse) -> FaceFinder:
        return self._finder


@dataclass
class Cells:
    """Records and pictures in memory."""

    stand: SheetRecords = field(default_factory=SheetRecords)
    bodies: dict[str, bytes] = field(default_factory=dict)

    def records(self) -> SheetRecords:
        return self.stand

    def picture(self, picture: Picture) -> bytes:
        return self.bodies[picture.key]

    def keep(self, made: Made) -> AnyRecord:
        image = opened(made.body)
        picture = Picture(
            key=made.name,
            bytes=len(made.body),
            sha256=hashlib.sha256(made.body).hexdigest(),
            width=image.width,
            height=image.height,
            content_type="image/png",
        )
        self.bodies[made.name] = made.body
        return made.record(picture, seconds=1.0)

    def keep_choice(self, choice: Choice) -> AnyRecord:
        return choice


@dataclass(frozen=True)
class Sheet:
    plan: SheetPlan
    records: SheetRecords
    bodies: Mapping[str, bytes]
    """By the base name of the file."""


Makes = Callable[..., Sheet]


@pytest.fixture
def makes(server: Server, maker_for: Callable[[Case], Maker], face_models: FaceModels) -> Makes:
    if not server.real:
        pytest.skip("sheets on the stand-in are made by workers in tests/pipeline")

    def made(base: str, *, lora: bool = False, control: bool = False, **fields: object) -> Sheet:
        finder = AsAsked(face_models.finder(FaceUse.SCORE))
        maker = replace(maker_for(WITH_FACES["sdxl-instantid"]), face_models=OneFinder(finder))
        if control:
            maker = replace(maker, runner=ControlImages)
        return _sheet(maker, finder, _asked(base, lora, fields), LORA if lora else None)

    return made


def _asked(base: str, lora: bool, fields: Mapping[str, object]) -> CharacterSheetInput:
    who = {"lora_name": "any"} if lora else {"reference_images": ("inputs/a", "inputs/b")}
    sizes = Sizes(close_up=SMALL, half=SMALL, full=SMALL)
    few = {"steps": 1, "face_steps": 1, "attempts_per_view": 1}
    asked = {"name": "Ann", "base": base, "view_ids": VIEWS, "sizes": sizes, **few, **who, **fields}
    return CharacterSheetInput.model_validate(asked)


def _sheet(
    maker: Maker, finder: AsAsked, asked: CharacterSheetInput, lora: LoraFile | None
) -> Sheet:
    plan = plan_sheet(asked, f"sheet-{time.time_ns()}", MODELS, lora)
    cells = Cells()
    with ComfyClient(maker.server.url) as client:
        people = () if lora else (ANNA, SMALL_ANNA)
        steps = SheetMaker(
            plan, maker.runner_of(client), people, attempt=1, lora=lora.file if lora else None
        )

        def make(
            step: Compose | MakeFace,
            records: SheetRecords,
            stored: Callable[[Picture], bytes],
            part: int,
            parts: int,
        ) -> Made:
            finder.view = plan.views[step.number - 1]
            return steps.make(step, records, stored, part, parts)

        records, stop = make_sheet(plan, make, cells, lambda step, records: None)
    assert stop is None
    return Sheet(plan, records, cells.bodies)


BY_FACE_PASS = {"01-front.c1", "01-front.t1", "02-three-quarter-left.c1"} | {
    "02-three-quarter-left.t1",
    "03-back.c1",
}
MADE = {
    "sdxl": {"01-front.t1", "02-three-quarter-left.t1", "03-back.c1"},
    "flux-dev": BY_FACE_PASS,
    "z-image-turbo": BY_FACE_PASS,
}


@pytest.mark.parametrize("base", MADE)
def test_each_base_makes_its_sheet(makes: Makes, base: str) -> None:
    sheet = makes(base)

    assert set(sheet.bodies) == MADE[base]
    assert {opened(body).size for body in sheet.bodies.values()} == {(512, 512)}
    assert len(set(sheet.bodies.values())) == len(sheet.bodies)
    assert all(view.choice and view.choice.made for view in sheet.records.views.values())
    assert len(sheet.records.views) == len(VIEWS)


def test_a_lora_alone_makes_a_sheet_in_one_pass(makes: Makes) -> None:
    sheet = makes("flux-dev", lora=True, view_ids=("front", "back"))

    assert set(sheet.bodies) == {"01-front.c1", "02-back.c1"}
    assert all(view.choice and view.choice.made for view in sheet.records.views.values())


def test_the_heads_of_sdxl_s_sheet_are_given_to_the_control_net_as_drawn(
    makes: Makes, offered: str
) -> None:
    if '"MicroControlImage"' not in offered:
        pytest.skip("no MicroControlImage here: see micro/README.md")
    sheet = makes("sdxl", control=True, view_ids=VIEWS[:2])

    for view in sheet.plan.views:
        assert view.asked.head is not None
        drawn = landmark_image(view.asked.head, view.framing, (512, 512))
        image = opened(sheet.bodies[f"{view.name}.t1"])
        assert image.tobytes() == opened(drawn).tobytes()

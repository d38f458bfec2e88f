"""The head of a face pass, over the stand-in, as the embedded face model sees it."""

from collections.abc import Iterator
from io import BytesIO

import pytest

from config.models import load_models
from handlers.character_sheet.maker import Made, SheetMaker
from handlers.character_sheet.planner import plan_sheet
from handlers.character_sheet.records import Composition, Picture, SheetRecords
from handlers.character_sheet.sheet_plan import PlannedHead, SheetPlan
from handlers.character_sheet.steps import Compose, MakeFace
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.standin.options import Options
from handlers.comfyui.standin.people import drawn_person
from handlers.comfyui.standin.server import running
from handlers.faces.dlib_finder import is_installed, load
from handlers.faces.measurement import FaceUse
from tests.handlers.character_sheet.sheets import sheet
from tests.support.graph_runners import WireStudio

pytestmark = [
    pytest.mark.xdist_group("faces"),
    pytest.mark.skipif(not is_installed(), reason="needs the embedded face model"),
]

SIZE = {"width": 640, "height": 640}
PICTURE = Picture(key="k", bytes=1, sha256="s", width=640, height=640, content_type="image/png")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireStudio]:
    folder, finder = tmp_path_factory.mktemp("standin"), load()
    with running(Options.under(folder, step_seconds=0)) as url, ComfyClient(url) as client:
        yield WireStudio(client, {FaceUse.BOX: finder, FaceUse.SCORE: finder})


def made(plan: SheetPlan, runner: WireStudio, composed: Made | None = None) -> Made:
    """The composition, or the face in it."""
    eve = BytesIO()
    drawn_person("eve").picture.save(eve, "PNG")
    maker = SheetMaker(plan, runner, (eve.getvalue(),), attempt=1)
    if composed is None:
        return maker.make(Compose(1, 1), SheetRecords(), lambda _: b"", 0, 2)
    record = composed.record(PICTURE, seconds=1.0)
    assert isinstance(record, Composition)
    assert record.box is not None
    return maker.make(MakeFace(1, 1, 1), SheetRecords.of([record]), lambda _: composed.body, 1, 2)


def test_the_face_pass_turns_a_head_that_was_composed_from_the_front(runner: WireStudio) -> None:
    given = sheet(
        base="z-image-turbo",
        views=[{"id": "front", "framing": "close-up"}],
        sizes={"close_up": SIZE, "half": SIZE, "full": SIZE},
        face_steps=1,
    )
    front = plan_sheet(given, "job-1", load_models())
    left = front.views[0].model_copy(update={"head": PlannedHead(yaw=-30)})
    turned = front.model_copy(update={"views": (left,)})

    composed = made(front, runner)
    assert composed.fields["measured"]["yaw"] == pytest.approx(0, abs=10)
    first, again = (made(turned, runner, composed) for _ in range(2))
    assert first.fields["measured"]["yaw"] == pytest.approx(-30, abs=15)
    assert first.fields["fault"] is None
    assert first.body == again.body, "equal jobs give equal pictures"

import pytest

from handlers.character_sheet.progress import ViewState, parts_done, view_state
from handlers.character_sheet.records import Choice, Composition, Picture, SheetRecords, ViewRecords
from tests.support.sheets import sheet_plan

PICTURE = Picture(key="k", bytes=1, sha256="s", width=64, height=64, content_type="image/png")
GOOD = Composition(number=1, view="v1", k=1, seed=7, picture=PICTURE, seconds=2.0)
BAD = GOOD.model_copy(update={"fault": "wrong_yaw"})
CHOSEN = Choice(number=1, view="v1", k=1, of="c")
MISSING = Choice(number=1, view="v1", k=1, of="c", fault="wrong_yaw")


@pytest.mark.parametrize(
    ("view", "state"),
    [
        (ViewRecords(), ViewState.WAITING),
        (ViewRecords({1: GOOD}), ViewState.COMPOSED),
        (ViewRecords({1: BAD}), ViewState.AGAIN),
        (ViewRecords({1: GOOD}, choice=CHOSEN), ViewState.MADE),
        (ViewRecords({1: BAD}, choice=MISSING), ViewState.MISSING),
    ],
)
def test_how_far_a_view_is(view: ViewRecords, state: ViewState) -> None:
    assert view_state(view) is state


def test_a_sheet_has_two_parts_a_view() -> None:
    plan = sheet_plan()
    assert parts_done(plan, SheetRecords()) == (0, 4)
    assert parts_done(plan, SheetRecords.of([GOOD])) == (1, 4)
    assert parts_done(plan, SheetRecords.of([GOOD, CHOSEN])) == (2, 4)

import pytest

from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.sheet_rows import SheetRow, sheet_rows
from pipeline.pages.figure_text import NOTHING

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def rows(demo_run: DemoRun) -> dict[str, SheetRow]:
    return {row.id: row for row in sheet_rows(demo_run)}


def test_a_view_is_told_with_what_was_asked_and_measured(rows: dict[str, SheetRow]) -> None:
    front, left, back = rows["rosa-sheet-flux"].views

    assert (front.asked, left.asked) == ("yaw 0°, pitch 0°, close-up", "yaw -35°, pitch 0°, half")
    assert left.measured.startswith("yaw -3")
    assert float(left.match) >= 0.85
    assert float(left.similarity) > 0.9
    assert (back.asked, back.measured, back.match) == ("from behind, full", NOTHING, "from behind")


def test_a_missing_view_tells_why_and_how_it_was_measured(rows: dict[str, SheetRow]) -> None:
    left = rows["rosa-sheet-z-image"].views[2]

    assert (left.match, left.similarity) == ("wrong yaw", NOTHING)
    assert left.measured.startswith("yaw 3")


def test_of_a_view_made_more_than_once_each_picture_is_shown(rows: dict[str, SheetRow]) -> None:
    tries = rows["rosa-sheet-flux"].tries

    assert [(each.name, each.fault) for each in tries] == [
        ("01-front, composition 1", "wrong yaw"),
        ("01-front, composition 2", None),
        ("01-front, try 2", None),
    ]


def test_the_largest_sheet_comes_first(demo_run: DemoRun) -> None:
    counts = [len(row.views) for row in sheet_rows(demo_run)]

    assert counts == sorted(counts, reverse=True)

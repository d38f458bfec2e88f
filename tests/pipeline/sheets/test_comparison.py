from typing import Any

import pytest

from handlers.character_sheet.combinations import Making
from handlers.character_sheet.likeness import recorded_look
from handlers.character_sheet.records import (
    Choice,
    Composition,
    Picture,
    RecordedLook,
    SheetRecords,
)
from handlers.character_sheet.sheet_plan import PlannedLora, SheetPlan
from handlers.faces.boxes import Face, FaceFinder
from handlers.faces.head import Head
from pipeline.contract.result import MissingView, Output, OutputView
from pipeline.sheets.comparison import ComparedSheet, Comparison, compare_sheets
from pipeline.sheets.ended_sheet import EndedSheet
from tests.pipeline.sheets.test_ended_sheet import result
from tests.support.sheets import face, sheet_plan


class Finder(FaceFinder):
    embedder = "one"
    embedder_sha256 = "0" * 64

    def find_faces(self, image: bytes) -> list[Face]:
        raise AssertionError(f"nobody looks at {image!r}")


def look(similar: float, embedder: str = "one", head: Head | None = None) -> RecordedLook:
    seen = recorded_look([face(head or Head(), similar)], Finder(), None)
    return seen.model_copy(update={"embedder": embedder, "strangers_mean": 0.0, "same_mean": 0.8})


def compared(
    looks: list[RecordedLook | None], id: str = "sheet", seed: int = 7, **changes: Any
) -> ComparedSheet:
    """A sheet of as many views; a view without a look is missing."""
    plan: SheetPlan = sheet_plan([Making.FACE_PASS] * len(looks), job_id=id, **changes)
    records: list[Any] = []
    outputs, missing = [], []
    for view, seen in zip(plan.views, looks, strict=True):
        if seen is None:
            missing.append(MissingView(number=view.nn, id=view.id, reason="wrong_yaw"))
            continue
        picture = Picture(
            key=f"jobs/{id}/out/a1/{view.name}.c1.png",
            bytes=1,
            sha256="0" * 64,
            width=64,
            height=64,
            content_type="image/png",
        )
        common: dict[str, Any] = {"number": view.nn, "view": view.id, "k": 1}
        records.append(Composition(**common, seed=seed, picture=picture, seconds=1.0, look=seen))
        records.append(Choice(**common, of="c"))
        told = OutputView(number=view.nn, id=view.id, ok=True)
        outputs.append(Output(**picture.model_dump(), seed=seed, view=told))
    ended = result(id=id, outputs=outputs, missing=missing)
    return ComparedSheet(EndedSheet(b"", ended, plan), SheetRecords.of(records))


def similarities(found: Comparison) -> list[tuple[float | None, float | None]]:
    return [(each.before.similarity, each.after.similarity) for each in found.views]


def test_each_face_is_compared_with_the_other_views_before_and_with_none_of_its_own_sheet() -> None:
    before = compared([look(1.0), look(1.0), look(0.0)])
    after = compared([look(1.0), look(0.0), look(1.0)], "sheet-c1")
    found = compare_sheets(before, after)
    assert [each for pair in similarities(found) for each in pair] == pytest.approx(
        [0.5, 0.5, 0.5, 0.5, 0.0, 1.0]
    )
    assert [*found.means("similarity")] == pytest.approx([1 / 3, 2 / 3])
    assert found.views[2].after.match == 1.0, "by the baseline that the records hold"
    assert found.views[0].before.match == pytest.approx(0.5 / 0.8)


def test_means_are_of_views_where_both_are_known() -> None:
    before = compared([look(1.0), look(1.0), look(1.0)])
    after = compared([look(1.0), None, look(1.0, head=Head(80.0))], "sheet-c1")
    found = compare_sheets(before, after)
    missing, turned = found.views[1].after, found.views[2].after
    assert (missing.missing, missing.reason) == ("wrong_yaw", "missing")
    assert (turned.similarity, turned.reason) == (None, "profile")
    assert [*found.means("similarity")] == pytest.approx([1.0, 1.0])
    assert found.right() == (3, 2)


def test_without_a_common_embedder_or_other_faces_there_is_no_number_but_a_reason() -> None:
    before = compared([look(1.0), look(1.0)])
    found = compare_sheets(before, compared([look(1.0, "two")] * 2, "sheet-c1"))
    assert [each.after.reason for each in found.views] == ["other_embedder"] * 2
    assert found.means("match") == (None, None)
    alone = compare_sheets(compared([look(1.0)]), compared([look(1.0)], "sheet-c1"))
    assert alone.views[0].after.reason == "nothing_to_compare_with"


def test_what_is_not_the_same_is_said() -> None:
    before = compared([look(1.0)], references=("inputs/a.png",))
    lora = PlannedLora(key="loras/a.safetensors", sha256="0" * 64, strength=1.0)
    after = compared(
        [look(1.0)], "sheet-c1", 8, base="z-image-turbo", lora=lora, trigger_word="ohwx"
    )
    found = compare_sheets(before, after)
    assert found.lora == "loras/a.safetensors"
    for word in ("the base", "who makes the face", "the trigger word", "the seed of 01-v1"):
        assert any(word in each for each in found.differences), word
    same = compare_sheets(compared([look(1.0)]), compared([look(1.0)], "sheet-c1"))
    assert same.differences == ()

from collections.abc import Sequence
from typing import Any

from handlers.character_sheet.records import SheetRecords
from handlers.character_sheet.sheet_document import Coverage, Pair, SetVerdict
from pipeline.datasets.selection import select
from pipeline.datasets.set_verdict import judge_dataset
from pipeline.reviews.review import Verdict
from tests.support.datasets import MadeSheet


def judged(rejected: Sequence[str] = (), said: SetVerdict | None = None, **made: Any) -> Any:
    placeholders = made.pop("placeholders", False)
    sheet = MadeSheet(**made)
    plan, records = sheet.plan, SheetRecords.of(sheet.records())
    verdicts = dict.fromkeys(rejected, Verdict.REJECT)
    picked = select(plan, sheet.ended(plan, records), records, None, verdicts).picked
    return judge_dataset(picked, plan, records, said, placeholders=placeholders)


def whole(**said: Any) -> SetVerdict:
    fields = {"views": 10, "made": 10, "compared": 7, "trainable": True, "because": ""}
    return SetVerdict(coverage=Coverage(angles={}, framings={}), **{**fields, **said})


def test_the_ten_views_can_train() -> None:
    verdict = judged(said=whole())
    assert verdict.trainable
    assert verdict.because.startswith("10 pictures, worst match 0.90")


def test_a_bad_picture_that_a_person_rejected_spoils_the_set_no_more() -> None:
    assert not judged(matches={"front": 0.3}).trainable
    assert judged(["front"], matches={"front": 0.3}).trainable


def test_a_set_that_is_too_small_after_a_review_says_what_to_add() -> None:
    verdict = judged(["front", "back", "side-left"], whole())
    assert not verdict.trainable
    assert verdict.because == "7 pictures, and 8 are the least"
    assert verdict.wanting == ("add 1 pictures",)


def test_the_faces_that_are_left_are_compared_anew() -> None:
    apart = {"front": 80.0, "front-smiling": 70.0}
    of_all, of_nine = judged(apart=apart), judged(["front"], apart=apart)
    assert "01-front and 03-three-quarter-left look like two people" in of_all.because
    assert "02-front-smiling and 03-three-quarter-left look like two people" in of_nine.because
    assert "two people" not in judged(["front", "front-smiling"], apart=apart).because


def test_without_recorded_faces_the_sheets_pair_counts_while_both_of_it_are_in() -> None:
    pair = Pair(views=("01-front", "02-front-smiling"), similarity=0.1, match=0.1)
    assert "two people" in judged(said=whole(least_alike=pair)).because
    assert judged(["front"], whole(least_alike=pair)).trainable


def test_twins_are_counted_among_what_is_left() -> None:
    twins = [
        Pair(views=("01-front", f"{number:02d}-{id}"), bits=1)
        for number, id in ((2, "front-smiling"), (8, "front-sitting"), (10, "front-dynamic"))
    ]
    assert "3 of 10" in judged(said=whole(too_alike=twins)).because
    assert judged(["front"], whole(too_alike=twins)).trainable


def test_a_sheet_at_which_nobody_looked_is_judged_by_what_is_known() -> None:
    assert judged().trainable


def test_what_no_model_drew_trains_nothing() -> None:
    verdict = judged(said=whole(), placeholders=True)
    assert not verdict.trainable
    assert "stand-in" in verdict.because

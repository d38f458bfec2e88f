import pytest

from config.errors import InvalidInput
from pipeline.datasets.reviewable import may_be_kept, require_reviewable
from pipeline.reviews.review import Verdict
from pipeline.sheets.ended_sheet import EndedSheet
from tests.support.batches import missing_view, view_output
from tests.support.jobs import a_result
from tests.support.sheets import sheet_plan

KEEP, REJECT = Verdict.KEEP, Verdict.REJECT


def sheet(reason: str = "no_face", best: str | None = None) -> EndedSheet:
    """Its first view was made, its second is missing."""
    missing = missing_view(2, "v2", reason).model_copy(update={"best": best})
    result = a_result(outputs=(view_output(1, "v1"),), missing=(missing,))
    return EndedSheet(b"{}", result, sheet_plan())


def test_a_view_that_was_made_may_be_kept_rejected_and_cleared() -> None:
    for verdict in (KEEP, REJECT, None):
        require_reviewable(sheet(), "v1", verdict, "--keep")


def test_a_missing_view_may_be_cleared_alone() -> None:
    require_reviewable(sheet(), "v2", None, "--clear")
    for verdict in (KEEP, REJECT):
        with pytest.raises(InvalidInput, match="02-v2 is missing"):
            require_reviewable(sheet(), "v2", verdict, "--keep")


def test_one_that_was_refused_for_its_likeness_may_be_kept_and_not_rejected() -> None:
    refused = sheet("face_below_gate", "jobs/sheet/out/a1/02-v2.png")
    assert may_be_kept(refused.result.missing[0])
    require_reviewable(refused, "v2", KEEP, "--keep")
    with pytest.raises(InvalidInput):
        require_reviewable(refused, "v2", REJECT, "--reject")
    assert not may_be_kept(sheet("face_below_gate").result.missing[0])
    assert not may_be_kept(sheet("no_face", "jobs/sheet/out/a1/02-v2.png").result.missing[0])


def test_a_view_that_is_not_of_the_sheet_is_named_with_those_that_are() -> None:
    with pytest.raises(InvalidInput) as caught:
        require_reviewable(sheet(), "v3", KEEP, "reviews.sheet.v3")
    assert caught.value.field == "reviews.sheet.v3"
    assert caught.value.hint == "It has 01-v1, 02-v2."

from math import inf, nan

import pytest

from handlers.character_sheet.progress import ViewState
from pipeline.batches.lines import RowLine, sheet_line
from pipeline.batches.page.cards import MAX_TEXT, Picture, ReadRow, SheetCard, sheet_card
from pipeline.contract.result import MissingView
from pipeline.jobs.status import JobView, State
from pipeline.reviews.review import Mark, Review, Verdict, marked
from tests.support.batch_pages import set_verdict
from tests.support.batches import a_batch, missing_view, view_output
from tests.support.jobs import NOW, a_result

[ROW] = a_batch("Ann").rows
BEST = "jobs/x/out/a1/03-v3.t2.png"
KEEP, REJECT = Verdict.KEEP, Verdict.REJECT


def card_of(
    review: Review | None = None, problem: str | None = None, **fields: object
) -> SheetCard:
    result = a_result(id=ROW.id, model="character-sheet", **fields)
    line = RowLine(ROW, sheet_line(JobView(ROW.id, State.FINISHED, result=result)))
    said = review.views if review else {}
    return sheet_card(ReadRow(line, result, said=said, best={BEST: "c" * 64}, problem=problem))


def best(number: int, reason: str) -> MissingView:
    return missing_view(number, f"v{number}", reason).model_copy(update={"best": BEST})


def test_views_stand_in_the_order_of_the_sheet_with_scores_and_what_was_said() -> None:
    review = marked(Review(job=ROW.id, tenant="acme"), {"front": Mark(REJECT, "six fingers")}, NOW)
    card = card_of(
        review,
        outputs=(view_output(3, "back", None), view_output(1, "front", 0.81, tries=2)),
        missing=(missing_view(2, "left"),),
    )
    front, left, back = card.views
    assert (front.id, front.scores.match, front.tries) == ("front", 0.81, 2)
    assert front.picture == Picture("jobs/x/out/a1/01-front.png", "b" * 64)
    assert (left.state, left.fault, left.picture) == (ViewState.MISSING, "face_below_gate", None)
    assert (back.scores.match, back.said) == (None, None)
    told = card.document()["views"][0]
    assert (told["verdict"], told["note"], told["may"]) == (
        "reject", "six fingers", ["keep", "reject"],
    )  # fmt: skip


def test_only_what_has_a_picture_can_be_reviewed() -> None:
    card = card_of(
        outputs=(view_output(1, "front"), view_output(2, "No view's name")),
        missing=(
            best(3, "face_below_gate"),
            best(4, "no_face"),
            missing_view(5, "v5"),
        ),
    )
    assert [view.verdicts for view in card.views] == [(KEEP, REJECT), (), (KEEP,), (), ()]
    assert card.views[2].picture == Picture(BEST, "c" * 64)


def test_nothing_is_said_of_a_sheet_whose_review_cannot_be_read() -> None:
    card = card_of(problem="no review of this job", outputs=(view_output(1, "front"),))
    assert card.views[0].verdicts == ()
    assert card.document()["problem"] == "no review of this job"


@pytest.mark.parametrize(
    ("key", "sha256"),
    [
        ("inputs/secret.png", "b" * 64),
        ("jobs/x/out/" + "w" * 400, "b" * 64),
        ("jobs/x/out/a1/\0.png", "b" * 64),
        ("jobs/x/out/a1/01-front.png", "../" + "b" * 61),
    ],
)
def test_what_can_be_no_picture_of_a_job_is_none(key: str, sha256: str) -> None:
    output = view_output(1, "front").model_copy(update={"key": key, "sha256": sha256})
    assert card_of(outputs=(output,)).views[0].picture is None


def test_texts_are_cut_and_numbers_that_json_has_not_are_left_out() -> None:
    card = card_of(
        outputs=(view_output(1, "w" * 10_000),),
        missing=(missing_view(2, "left", "x" * 10_000),),
        sheet=set_verdict(inf, trainable=False, because="", made=1).model_copy(
            update={"mean_match": nan}
        ),
    )
    document = card.document()
    assert not {"worst", "mean"} & document.keys()
    first, second = document["views"]
    assert len(first["id"]) == len(second["fault"]) == MAX_TEXT


def test_a_sheet_on_its_way_shows_how_far_its_views_are() -> None:
    line = RowLine(ROW, sheet_line(JobView(ROW.id, State.WAITING)))
    card = sheet_card(ReadRow(line))
    assert card.views == ()
    assert card.document()["state"] == "waiting"
    assert not card.document()["ended"]


def test_a_row_whose_sheet_was_redone_shows_the_redo_and_where_it_comes_from() -> None:
    redone, again = f"{ROW.id}-r2", f"{ROW.id}-r3"
    own = sheet_line(JobView(ROW.id, State.FINISHED, result=a_result(id=ROW.id)))
    result = a_result(
        id=redone,
        outputs=(view_output(1, "front", reused_from=ROW.id), view_output(2, "left")),
    )
    line = RowLine(
        ROW,
        own,
        (
            sheet_line(JobView(redone, State.FINISHED, result=result)),
            sheet_line(JobView(again, State.WAITING)),
        ),
    )
    told = sheet_card(ReadRow(line, result)).document()
    assert (told["job"], told["own"], told["redo"]) == (redone, ROW.id, again)
    assert [view.get("origin") for view in told["views"]] == [ROW.id, None]

from handlers.character_sheet.sheet_document import DocumentView
from handlers.faces.view import Framing
from pipeline.sheets.scores import Scores, scores_of
from tests.support.batches import view_output

TOLD = DocumentView(
    number=1,
    id="front",
    name="01-front",
    angle="front",
    head=None,
    framing=Framing.CLOSE_UP,
    prompt="a person",
    caption="a person",
    similarity=0.5,
    match=None,
    match_reason="profile",
)


def test_what_is_told_of_the_whole_sheet_goes_before_the_result() -> None:
    assert scores_of(view_output(1, "front", 0.9), TOLD) == Scores(None, 0.5, "profile")


def test_without_it_the_result_is_asked() -> None:
    assert scores_of(view_output(1, "front", 0.9), None) == Scores(0.9, 0.9)
    unmeasured = view_output(1, "back", None).model_copy(update={"face_reason": "back"})
    assert scores_of(unmeasured, None) == Scores(reason="back")
    assert scores_of(None, None) == Scores()

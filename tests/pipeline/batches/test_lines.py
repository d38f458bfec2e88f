import pytest

from pipeline.batches.lines import (
    RowLine,
    SheetLine,
    ViewLine,
    redo_id,
    redo_of,
    sheet_line,
    state_word,
    totals,
)
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.lease import Phase, Progress
from pipeline.contract.result import Status
from pipeline.jobs.status import JobView, State, leased
from tests.support.batches import a_batch, missing_view, view_output
from tests.support.jobs import NOW, a_lease, a_result

BATCH = a_batch("Ann", "Bob", "Cleo")
ANN, BOB, CLEO = BATCH.rows


def ended(id: str, status: Status = Status.SUCCEEDED, usd: float | None = 0.03) -> SheetLine:
    return SheetLine(id, State.FINISHED, status, usd=usd)


def test_a_redo_is_told_by_its_id() -> None:
    assert redo_of(redo_id("autumn-002-ann", 2)) == ("autumn-002-ann", 2)
    assert redo_of("autumn-002-ann-r12") == ("autumn-002-ann", 12)
    assert redo_of("autumn-002-ann") is None
    assert redo_of("autumn-002-ann-r1") is None
    assert redo_of("autumn-002-ann-r02") is None


def test_the_newest_redo_that_succeeded_stands_for_a_row() -> None:
    own = ended(ANN.id, Status.FAILED)
    good, bad = ended("r2"), ended("r3", Status.CANCELLED)
    running = SheetLine("r4", State.RUNNING)

    assert RowLine(ANN, own).standing is own
    assert RowLine(ANN, own, (bad,)).standing is own
    assert RowLine(ANN, own, (good, bad, running)).standing is good
    assert RowLine(ANN, own, (good, bad, running)).under_way is running
    assert not RowLine(ANN, own, (good, running)).ended
    assert RowLine(ANN, own, (good, bad)).ended


def test_all_jobs_of_a_row_are_paid_for() -> None:
    assert RowLine(ANN, ended("a"), (ended("r2"), SheetLine("r3", State.WAITING))).usd == 0.06
    assert RowLine(ANN, SheetLine("a", State.WAITING)).usd is None


def test_a_result_is_shown_by_its_views_in_their_order() -> None:
    result = a_result(
        partial=True,
        outputs=(
            view_output(3, "back", None, reason="unmeasured", tries=2),
            view_output(1, "front"),
        ),
        missing=(missing_view(2, "left"),),
    )
    line = sheet_line(JobView("job", State.FINISHED, result))

    assert line.views == (
        ViewLine(1, "front", "made", 0.9, 1),
        ViewLine(2, "left", "missing", None, 3, "face_below_gate"),
        ViewLine(3, "back", "made", None, 2, "unmeasured"),
    )
    assert (line.made, line.tries, line.worst_match) == (2, 6, 0.9)
    assert state_word(line) == "partial"


def test_a_lease_is_shown_by_what_it_tells_of_its_views() -> None:
    views = {"01-front": "made", "02-left": "again"}
    lease = a_lease(
        phase=Phase.RUNNING,
        progress=Progress(views=views),
        error=ErrorInfo(code="comfyui_died", message="gone"),
    )
    line = sheet_line(leased("job", lease, NOW))

    assert line.views == (ViewLine(1, "front", "made"), ViewLine(2, "left", "again"))
    assert line.error == "comfyui_died: gone"
    assert (line.ended, line.worst_match, state_word(line)) == (False, None, "running")


@pytest.mark.parametrize("views", [{"": "made"}, {"x-front": "made"}])
def test_a_stranger_s_words_for_views_do_no_harm(views: dict[str, str]) -> None:
    lease = a_lease(phase=Phase.RUNNING, progress=Progress(views=views))

    assert [view.number for view in sheet_line(leased("job", lease, NOW)).views] == [1]


def test_totals_count_what_stands_and_what_was_paid() -> None:
    made = ViewLine(1, "front", "made")
    lines = (
        RowLine(
            ANN,
            ended(ANN.id, Status.FAILED),
            (
                SheetLine(
                    "r2",
                    State.FINISHED,
                    Status.SUCCEEDED,
                    True,
                    (made, ViewLine(2, "left", "missing")),
                    0.01,
                ),
            ),
        ),
        RowLine(BOB, SheetLine(BOB.id, State.RUNNING, views=(made,))),
        RowLine(CLEO, SheetLine(CLEO.id, State.WAITING)),
    )
    whole = totals(lines)

    assert whole.by_state == {"partial": 1, "running": 1, "waiting": 1}
    assert (whole.rows, whole.views_made, whole.views_missing) == (3, 2, 1)
    assert (whole.usd, whole.remaining_usd) == (0.04, 0.04)


def test_what_has_no_estimate_leaves_the_rest_unknown() -> None:
    row = ANN.model_copy(update={"estimate_usd": None})

    assert totals((RowLine(row, SheetLine(row.id, State.WAITING)),)).remaining_usd is None
    assert totals((RowLine(row, ended(row.id)),)).remaining_usd == 0.0

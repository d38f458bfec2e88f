import pytest

from config.errors import InvalidInput
from pipeline.contract.keys import plan_key, review_key
from pipeline.reviews.review import Mark, Marks, Verdict, change_review
from pipeline.sheets.reviewed_views import reviewed_views
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.sheets import sheet_plan

REJECT, KEEP = Mark(Verdict.REJECT), Mark(Verdict.KEEP)


@pytest.fixture
def store() -> SafeStore:
    return SafeStore(MemoryStore())


def begin(store: SafeStore, id: str, reuse: object = None, marks: Marks | None = None) -> None:
    plan = sheet_plan(job_id=id, reuse=reuse)
    store.write(plan_key(id), plan.body(), "application/json")
    if marks:
        change_review(store, id, "acme", marks)


def said(store: SafeStore, id: str) -> dict[str, str]:
    return {view: each.verdict.value for view, each in reviewed_views(store, id).items()}


def test_what_was_said_of_a_view_holds_wherever_it_is_reused(store: SafeStore) -> None:
    begin(store, "ann", marks={"front": REJECT, "left": REJECT, "right": KEEP})
    begin(store, "ann-r2", {"job": "ann", "views": ["front", "right"]}, {"left": KEEP})
    begin(store, "ann-r3", {"job": "ann-r2", "views": ["front", "left"]})
    assert said(store, "ann-r2") == {"front": "reject", "left": "keep", "right": "keep"}
    assert said(store, "ann-r3") == {"front": "reject", "left": "keep"}


def test_the_sheet_s_own_review_goes_before_that_of_the_sheet_it_reuses(store: SafeStore) -> None:
    begin(store, "ann", marks={"front": REJECT})
    begin(store, "ann-r2", {"job": "ann", "views": ["front"]}, {"front": KEEP})
    assert said(store, "ann-r2") == {"front": "keep"}


def test_sheets_that_reuse_each_other_or_no_job_at_all_end_the_look(store: SafeStore) -> None:
    begin(store, "ann", {"job": "bob", "views": ["front"]}, {"left": KEEP})
    begin(store, "bob", {"job": "ann", "views": ["front"]}, {"front": REJECT})
    assert said(store, "ann") == {"left": "keep", "front": "reject"}
    begin(store, "cleo", {"job": "../ann", "views": ["front"]})
    assert said(store, "cleo") == {}


def test_what_is_no_review_of_a_reused_sheet_is_refused(store: SafeStore) -> None:
    begin(store, "ann")
    begin(store, "ann-r2", {"job": "ann", "views": ["front"]})
    store.write(review_key("ann"), b"{}", "application/json")
    with pytest.raises(InvalidInput, match="no review"):
        reviewed_views(store, "ann-r2")

"""What a person said of a sheet's views, those among them that it reuses."""

from collections.abc import Mapping

from pipeline.contract.keys import is_id
from pipeline.reviews.review import ViewReview, read_review
from pipeline.sheets.cells import read_plan
from pipeline.store.conditional import SafeStore


def reviewed_views(store: SafeStore, id: str) -> Mapping[str, ViewReview]:
    """By a view's id: what the sheet's own review says, else, of a view that it reuses, what is
    said where it reuses it from. Else a picture that somebody rejected would be trained on as soon
    as another view was made again.

    Raises InvalidInput for what is no review.
    """
    said = dict[str, ViewReview]()
    reused: frozenset[str] | None = None
    seen = set[str]()
    while id not in seen and is_id(id):
        seen.add(id)
        review, plan = read_review(store, id), read_plan(store, id)
        for view, each in () if review is None else review.views.items():
            if reused is None or view in reused:
                said.setdefault(view, each)
        if plan is None or plan.reuse is None:
            break
        views = frozenset(plan.reuse.views)
        reused, id = views if reused is None else reused & views, plan.reuse.job
    return said

"""Which verdicts a person may give on a view: of what there is no picture, nothing can be said. One
that was refused for its likeness alone has a picture, and may be kept. Pure."""

from config.errors import InvalidInput
from pipeline.contract.keys import clip
from pipeline.contract.result import MissingView
from pipeline.datasets.selection import KEEPABLE
from pipeline.reviews.review import Verdict
from pipeline.sheets.ended_sheet import EndedSheet


def may_be_kept(missing: MissingView) -> bool:
    return missing.best is not None and missing.reason in KEEPABLE


def require_reviewable(sheet: EndedSheet, id: str, verdict: Verdict | None, field: str) -> None:
    """Any view of the sheet may be made unreviewed again, which is None.

    Raises InvalidInput for a view that the sheet has not, or on which this cannot be said.
    """
    view = next((each for each in sheet.plan.views if each.id == id), None)
    if view is None:
        known = ", ".join(each.name for each in sheet.plan.views)
        raise InvalidInput(
            f"no view of {sheet.id} is {clip(id)!r}",
            field=field,
            value=clip(id),
            hint=f"It has {known}.",
        )
    if verdict is None or id in sheet.made:
        return
    missing = next((each for each in sheet.result.missing if each.id == id), None)
    if verdict is Verdict.KEEP and missing is not None and may_be_kept(missing):
        return
    raise InvalidInput(
        f"{view.name} is missing: there is no picture of it to review",
        field=field,
        value=view.name,
        hint=f"`ryla sheets redo {sheet.id} --missing` makes it again.",
    )

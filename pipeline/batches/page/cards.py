"""What the page shows of each row: its sheet's views, scores, costs, and what a person said. Pure.

Whoever can write to the bucket can put any text into a result, so texts are cut here, and what is
no number becomes none. That texts are no HTML is the page's part.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from handlers.character_sheet.progress import ViewState
from handlers.character_sheet.sheet_document import DocumentView, SheetDocument
from handlers.character_sheet.views import VIEW_ID
from pipeline.batches.lines import RowLine, state_word
from pipeline.contract.keys import clip, is_output_key
from pipeline.contract.result import MissingView, Output, Result
from pipeline.datasets.reviewable import may_be_kept
from pipeline.reviews.review import Verdict, ViewReview
from pipeline.sheets.scores import Scores, scores_of

MAX_TEXT = 300
"""Characters of a text that is shown."""
_VIEW = re.compile(VIEW_ID)
_SHA256 = re.compile("[0-9a-f]{64}")
_NO_SCORES = Scores()


@dataclass(frozen=True)
class ReadRow:
    """A row, and what was read of the sheet that stands for it."""

    line: RowLine
    result: Result | None = None
    document: SheetDocument | None = None
    said: Mapping[str, ViewReview] = field(default_factory=dict)
    """By a view's id."""
    best: Mapping[str, str] = field(default_factory=dict)
    """Key → sha256 of the pictures that missing views have, by the records of the steps."""
    problem: str | None = None
    """Why its result or its review cannot be read: then nothing can be said of it either."""


@dataclass(frozen=True)
class Picture:
    key: str
    sha256: str
    """In hex."""


@dataclass(frozen=True)
class ViewCard:
    number: int
    id: str
    state: str
    """A ViewState."""
    picture: Picture | None = None
    scores: Scores = _NO_SCORES
    fault: str | None = None
    """Why it is missing, or is not the view that was asked for."""
    tries: int = 0
    usd: float | None = None
    reused_from: str | None = None
    """The job that made it."""
    verdicts: tuple[Verdict, ...] = ()
    """That a person may give."""
    said: ViewReview | None = None

    def document(self) -> dict[str, Any]:
        """For the page's script. What is not known is left out."""
        said = self.said
        return _known(
            n=self.number,
            id=_text(self.id),
            state=_text(self.state),
            match=finite(self.scores.match),
            similarity=finite(self.scores.similarity),
            why=_text(self.scores.reason),
            fault=_text(self.fault),
            tries=self.tries,
            usd=finite(self.usd),
            origin=_text(self.reused_from),
            may=[each.value for each in self.verdicts],
            verdict=said.verdict.value if said else None,
            note=said.note if said else None,
            at=said.at.isoformat(timespec="seconds") if said else None,
        )


@dataclass(frozen=True)
class SheetCard:
    row: ReadRow
    views: tuple[ViewCard, ...]

    def document(self) -> dict[str, Any]:
        """Likewise, but for pictures."""
        line, result = self.row.line, self.row.result
        sheet, told = line.standing, result.sheet if result else None
        under_way = line.under_way
        return _known(
            row=line.row.row,
            character=_text(line.row.character),
            job=sheet.id,
            own=line.own.id if sheet.id != line.own.id else None,
            redo=under_way.id if under_way else None,
            state=state_word(sheet),
            ended=sheet.ended,
            error=_text(sheet.error),
            worst=finite(told.worst_match if told else sheet.worst_match),
            mean=finite(told.mean_match) if told else None,
            trainable=told.trainable if told else None,
            because=_text(told.because) if told else None,
            wanting=[_text(each) for each in told.wanting[:8]] if told else None,
            tries=sheet.tries,
            usd=finite(line.usd),
            problem=_text(self.row.problem),
            views=[view.document() for view in self.views],
        )


def sheet_card(row: ReadRow) -> SheetCard:
    if row.result is not None:
        return SheetCard(row, tuple(sorted(_ended(row, row.result), key=lambda view: view.number)))
    views = row.line.standing.views
    return SheetCard(row, tuple(ViewCard(each.number, each.id, each.state) for each in views))


def _ended(row: ReadRow, result: Result) -> Iterator[ViewCard]:
    told = {view.number: view for view in row.document.views} if row.document else {}
    open_ = row.problem is None
    for output in result.outputs:
        if output.view is not None and output.view.number is not None:
            yield _made(output, told.get(output.view.number), row.said, may=open_)
    for each in result.missing:
        yield _missing(each, told.get(each.number), row, may=open_)


def _made(
    output: Output, told: DocumentView | None, said: Mapping[str, ViewReview], *, may: bool
) -> ViewCard:
    view = output.view
    assert view is not None
    assert view.number is not None
    return ViewCard(
        view.number,
        view.id,
        ViewState.MADE,
        _picture(output.key, output.sha256),
        scores_of(output, told),
        fault=view.reason,
        tries=view.tries,
        usd=view.usd,
        reused_from=view.reused_from,
        verdicts=(Verdict.KEEP, Verdict.REJECT) if may and _VIEW.fullmatch(view.id) else (),
        said=said.get(view.id),
    )


def _missing(view: MissingView, told: DocumentView | None, row: ReadRow, *, may: bool) -> ViewCard:
    best = view.best or ""
    keepable = may and may_be_kept(view)
    return ViewCard(
        view.number,
        view.id,
        ViewState.MISSING,
        _picture(best, row.best.get(best, "")),
        scores_of(None, told),
        fault=view.reason,
        tries=view.tries,
        usd=view.usd,
        verdicts=(Verdict.KEEP,) if keepable and _VIEW.fullmatch(view.id) else (),
        said=row.said.get(view.id),
    )


def _picture(key: str, sha256: str) -> Picture | None:
    """None for what is no picture of a job."""
    return Picture(key, sha256) if is_output_key(key) and _SHA256.fullmatch(sha256) else None


def _text(value: str | None) -> str | None:
    return None if value is None else clip(value, MAX_TEXT)


def finite(value: float | None) -> float | None:
    """JSON has no other numbers."""
    return None if value is None or not isfinite(value) else round(value, 6)


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}

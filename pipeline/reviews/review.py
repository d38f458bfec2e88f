"""A person's review of a character sheet: `reviews/<job id>.json`.

It is the one object of a job that changes, so each change is conditional on what was read, and is
made again on what stands by then. Two reviewers at once lose nothing. Whoever can write to the
bucket can put anything there: what is no review of this job is refused, never taken for a missing
one, since pictures that somebody rejected would come back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from config.errors import InvalidInput, StoreUnavailable
from handlers.character_sheet.views import MAX_VIEWS, VIEW_ID
from pipeline.contract.keys import MAX_BYTES, clip, review_key
from pipeline.store.base import Stored
from pipeline.store.conditional import SafeStore, Won

MAX_NOTE = 500
"""Characters."""
MAX_LOST = 100
"""Races lost in a row, after which a change gives up: each one means that another was made."""


class Verdict(StrEnum):
    """What a person says of a view."""

    KEEP = "keep"
    REJECT = "reject"


class _Part(BaseModel):
    """Fields of a later version are kept when an earlier one changes the review."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ViewReview(_Part):
    verdict: Verdict
    note: Annotated[str, Field(max_length=MAX_NOTE)] = ""
    """A person's text, to be escaped wherever it is shown."""
    at: AwareDatetime
    """When it was said, by the store's clock."""


class Review(_Part):
    version: Annotated[int, Field(ge=1)] = 1
    job: str
    tenant: str
    """Of the job."""
    views: Annotated[
        Mapping[Annotated[str, Field(pattern=VIEW_ID, max_length=48)], ViewReview],
        Field(max_length=MAX_VIEWS),
    ] = {}
    """By the view's id, as in the plan and the records; one that is not named is unreviewed."""

    def verdict(self, view: str) -> Verdict | None:
        found = self.views.get(view)
        return None if found is None else found.verdict

    def body(self) -> bytes:
        return self.model_dump_json(indent=1).encode()


@dataclass(frozen=True)
class Mark:
    """What is to stand for one view."""

    verdict: Verdict
    note: str | None = None
    """None leaves the note of the same verdict, and drops that of the other."""


Marks = Mapping[str, Mark | None]
"""By a view's id; None makes it unreviewed again."""


def read_review(store: SafeStore, id: str) -> Review | None:
    """The review of a job; None where nobody has begun one.

    Raises InvalidInput for what is no review of this job.
    """
    stored = store.get(review_key(id), limit=MAX_BYTES + 1)
    return None if stored is None else _parsed(id, stored)


def change_review(store: SafeStore, id: str, tenant: str, marks: Marks) -> Review:
    """The review with these marks, whatever others write meanwhile. Where it says so already,
    nothing is written. `tenant` is the job's; that the views are the sheet's is the caller's to
    check.

    Raises InvalidInput for what is no review of this job, and StoreUnavailable.
    """
    key = review_key(id)
    for _ in range(MAX_LOST):
        stored = store.get(key, limit=MAX_BYTES + 1)
        standing = Review(job=id, tenant=tenant) if stored is None else _parsed(id, stored, tenant)
        changed = marked(standing, marks, store.now())
        if changed == standing:
            return standing
        body = changed.body()
        if len(body) > MAX_BYTES:
            raise _no_review(key, f"it would have {len(body)} bytes, at most {MAX_BYTES} are read")
        outcome = (
            store.create(key, body) if stored is None else store.replace(key, body, stored.etag)
        )
        if isinstance(outcome, Won):
            return changed
    raise StoreUnavailable(f"{key} was changed by others {MAX_LOST} times in a row")


def marked(review: Review, marks: Marks, now: datetime) -> Review:
    """With these marks. Those that stand already keep their time. Pure.

    Raises InvalidInput for a note that is too long, and for marks of too many views.
    """
    views: dict[str, Any] = dict(review.views)
    for id, mark in marks.items():
        before = review.views.get(id)
        if mark is None:
            views.pop(id, None)
            continue
        same = before is not None and before.verdict is mark.verdict
        note = mark.note if mark.note is not None else before.note if before and same else ""
        if len(note) > MAX_NOTE:
            raise InvalidInput(
                f"the note on {id} has {len(note)} characters, at most {MAX_NOTE} are kept",
                field="note",
                value=clip(note),
                hint="Shorten it.",
            )
        if before is None or not same or before.note != note:
            more = before.model_extra or {} if before else {}
            views[id] = {**more, "verdict": mark.verdict, "note": note, "at": now}
    try:
        return Review.model_validate({**dict(review), "views": views})
    except ValueError as error:
        raise _no_review(review_key(review.job), str(error)) from None


def _parsed(id: str, stored: Stored, tenant: str | None = None) -> Review:
    key = review_key(id)
    if stored.size > MAX_BYTES:
        raise _no_review(key, f"it has {stored.size} bytes, at most {MAX_BYTES} are read")
    try:
        review = Review.model_validate_json(stored.body)
    except ValueError:
        raise _no_review(key, "it cannot be read") from None
    if review.job != id or tenant not in (None, review.tenant):
        raise _no_review(key, "it is of another job or tenant")
    return review


def _no_review(key: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{key} is no review of this job: {why}",
        field="review",
        value=key,
        hint="Look at the object, remove it, and review the sheet again.",
    )

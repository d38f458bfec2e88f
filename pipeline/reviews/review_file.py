"""A file of verdicts, as a batch's page gives them out, for `ryla sheets review NAME --from FILE`.

    {"version": 1, "batch": "autumn", "reviews": {"autumn-002-ann": {
        "front": {"verdict": "keep"}, "back": {"verdict": "reject", "note": "six fingers"},
        "left": null}}}

By job and view; null makes a view unreviewed again, and one that is not named stays as it is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from config.errors import InvalidInput
from handlers.character_sheet.views import MAX_VIEWS, VIEW_ID
from pipeline.contract.keys import clip, is_id
from pipeline.reviews.review import MAX_NOTE, Mark, Marks, Verdict

MAX_FILE_BYTES = 16 * 2**20
FIELD = "--from"


def _job(value: str) -> str:
    if not is_id(value):
        raise ValueError("no job id")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileMark(_Part):
    verdict: Verdict
    note: Annotated[str, Field(max_length=MAX_NOTE)] | None = None
    """None leaves the note of the same verdict."""


class ReviewFile(_Part):
    model_config = ConfigDict(extra="ignore", frozen=True)

    version: Literal[1]
    batch: str
    reviews: Mapping[
        Annotated[str, AfterValidator(_job)],
        Annotated[
            Mapping[Annotated[str, Field(pattern=VIEW_ID, max_length=48)], FileMark | None],
            Field(max_length=MAX_VIEWS),
        ],
    ]

    def marks(self, job: str) -> Marks:
        """By a view's id."""
        return {
            id: None if said is None else Mark(said.verdict, said.note)
            for id, said in self.reviews[job].items()
        }


def read_review_file(path: Path, batch: str) -> ReviewFile:
    """Raises InvalidInput for what is no such file of this batch."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _refused(f"{path} cannot be read: {error.strerror}", str(path)) from None
    if len(body) > MAX_FILE_BYTES:
        raise _refused(f"{path} has more than {MAX_FILE_BYTES} bytes", str(path))
    try:
        read = ReviewFile.model_validate_json(body)
    except ValidationError as error:
        raise _problem(path, error) from None
    if read.batch != batch:
        raise _refused(f"{path} is of the batch {clip(read.batch)!r}, not {batch}", read.batch)
    return read


def _problem(path: Path, error: ValidationError) -> InvalidInput:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return InvalidInput(
        f"{path} is no file of verdicts: {clip(where) or 'all of it'}: {first['msg']}",
        field=clip(where) or FIELD,
        value=clip(first["input"]),
        hint="Save the verdicts from the batch's page again; docs/batches.md shows the file.",
    )


def _refused(message: str, value: str) -> InvalidInput:
    return InvalidInput(message, field=FIELD, value=clip(value))

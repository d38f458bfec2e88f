import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.errors import InvalidInput
from pipeline.reviews.review import MAX_NOTE, Mark, Verdict
from pipeline.reviews.review_file import MAX_FILE_BYTES, read_review_file

GOOD: dict[str, Any] = {
    "version": 1,
    "batch": "autumn",
    "made_at": "2026-11-30T00:00:00+00:00",
    "reviews": {
        "autumn-002-ann": {
            "front": {"verdict": "keep"},
            "left": {"verdict": "reject", "note": "six fingers"},
            "back": None,
        }
    },
}
Write = Callable[[object], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(document: object) -> Path:
        path = tmp_path / "review.json"
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return path

    return write


def test_a_file_is_marks_by_job_and_view(write: Write) -> None:
    read = read_review_file(write(GOOD), "autumn")
    assert read.marks("autumn-002-ann") == {
        "front": Mark(Verdict.KEEP),
        "left": Mark(Verdict.REJECT, "six fingers"),
        "back": None,
    }


@pytest.mark.parametrize(
    ("view", "mark", "field"),
    [
        ("front", {"verdict": "perhaps"}, "reviews.autumn-002-ann.front.verdict"),
        ("front", "keep", "reviews.autumn-002-ann.front"),
        ("front", {"verdict": "keep", "colour": 1}, "reviews.autumn-002-ann.front.colour"),
        (
            "front",
            {"verdict": "keep", "note": "x" * (MAX_NOTE + 1)},
            "reviews.autumn-002-ann.front.note",
        ),
        ("../front", {"verdict": "keep"}, "reviews.autumn-002-ann.../front.[key]"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(
    write: Write, view: str, mark: object, field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_review_file(write({**GOOD, "reviews": {"autumn-002-ann": {view: mark}}}), "autumn")
    assert caught.value.field == field
    assert caught.value.hint


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"\xff", [], {**GOOD, "version": 2}, {**GOOD, "reviews": {"Not an id": {}}}],
)
def test_what_is_no_file_of_verdicts_is_refused(write: Write, document: object) -> None:
    with pytest.raises(InvalidInput, match="no file of verdicts"):
        read_review_file(write(document), "autumn")


def test_another_batchs_file_a_large_one_and_none_are_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="of the batch 'autumn', not winter"):
        read_review_file(write(GOOD), "winter")
    with pytest.raises(InvalidInput, match="more than"):
        read_review_file(write(b" " * (MAX_FILE_BYTES + 1)), "autumn")
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        read_review_file(tmp_path / "nothing.json", "autumn")

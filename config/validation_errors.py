"""What pydantic found wrong, in words that name the place, the value and the way out."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.nearest import nearest


@dataclass(frozen=True)
class Problem:
    """The first thing wrong in a document."""

    path: tuple[str, ...]
    """Keys from the root to the value."""
    value: Any
    """As given; None where the value is missing."""
    message: str
    hint: str | None


def first_problem(error: ValidationError, known: Iterable[str] = ()) -> Problem:
    """The first error of a validation; an unknown key gets the nearest of `known` as its hint."""
    found = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        close = nearest(path[-1], known)
        return Problem(
            path, found["input"], "unknown key", f"Did you mean {close}?" if close else None
        )
    value = None if found["type"] == "missing" else found["input"]
    return Problem(path, value, found["msg"].removeprefix("Value error, "), _meant(found))


def _meant(found: ErrorDetails) -> str | None:
    """The nearest of the values that a field takes, where it takes but these."""
    if found["type"] not in ("literal_error", "enum") or not isinstance(found["input"], str):
        return None
    close = nearest(found["input"], re.findall("'([^']*)'", found["ctx"]["expected"]))
    return f"Did you mean {close}?" if close else None

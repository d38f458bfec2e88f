"""What a request's headers and query ask for. Pure."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from config.nearest import nearest
from pipeline.api.request_errors import BadRequest
from pipeline.contract.keys import clip

MAX_WAIT = 120
"""Seconds that one request may ask to wait."""
MAX_KEY = 255
"""Characters of an Idempotency-Key."""
_KEY = re.compile(rf"[!-~]([ -~]{{0,{MAX_KEY - 2}}}[!-~])?")
_WAIT = re.compile(r"\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(;.*)?", re.IGNORECASE)
_RANGE = re.compile(r"\s*([a-z*]+)\s*/\s*([a-z0-9.+*-]+)\s*(?:;(.*))?", re.IGNORECASE)


class Shape(Enum):
    """In which a job is answered."""

    JOB = auto()
    IMAGE = auto()


@dataclass(frozen=True)
class ResponsePreference:
    shape: Shape
    wait_s: int | None
    """As Prefer says, at most MAX_WAIT; None where it says nothing of waiting."""
    prefers: bool = False
    """Whether there was a Prefer at all: its sender knows what a 202 is."""


def response_preference(
    accept: str | None, prefer: str | None, *, old_path: bool
) -> ResponsePreference:
    """`Accept: image/*` gets the picture. So does `*/*`, which says nothing, on the old paths and
    without Prefer: their clients take whatever comes for a picture."""
    ranges = _ranges(accept)
    wants_json = any(each in ranges for each in ("application/json", "application/*"))
    wants_image = any(each.startswith("image/") for each in ranges)
    says_nothing = not ranges or (set(ranges) == {"*/*"})
    asked = wants_image and not wants_json
    taken = says_nothing and old_path and prefer is None
    shape = Shape.IMAGE if asked or taken else Shape.JOB
    return ResponsePreference(shape, waiting(prefer), prefers=prefer is not None)


def _ranges(accept: str | None) -> list[str]:
    """The media ranges of an Accept header that are not ruled out by q=0."""
    found = []
    for part in (accept or "").split(","):
        match = _RANGE.fullmatch(part)
        if match and not re.search(r"q\s*=\s*0(\.0*)?\s*(;|$)", match[3] or ""):
            found.append(f"{match[1]}/{match[2]}".lower())
    return found


def waiting(prefer: str | None) -> int | None:
    """The seconds of `Prefer: wait=N`. What is not understood in it is no error (RFC 7240)."""
    for part in (prefer or "").split(","):
        match = _WAIT.fullmatch(part)
        if match:
            return min(int(match[1]), MAX_WAIT)
    return None


def job_id(tenant: str, key: str) -> str:
    """The id of a tenant's job by its Idempotency-Key: 32 hex digits of a sha256 over both, so that
    tenants share no id. Raises BadRequest for no such key."""
    if not _KEY.fullmatch(key):
        raise BadRequest(
            f"an Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters",
            field="Idempotency-Key",
            value=clip(key),
            hint="Use a UUID, a new one for each job.",
        )
    return hashlib.sha256(f"{tenant}\n{key}".encode()).hexdigest()[:32]


def require_known(given: Iterable[str], known: Iterable[str]) -> None:
    """Raises BadRequest for a query parameter that is none, or that is given twice."""
    seen: set[str] = set()
    known = list(known)
    for name in given:
        if name not in known:
            guess = nearest(name, known)
            everything = f"Known: {', '.join(known)}." if known else "This path takes none."
            raise BadRequest(
                f"unknown query parameter {clip(name)!r}",
                field=clip(name),
                hint=f"Did you mean {guess!r}?" if guess else everything,
            )
        if name in seen:
            raise BadRequest(f"{name} is given twice", field=name)
        seen.add(name)


def whole_number(name: str, text: str | None, low: int, high: int, default: int) -> int:
    """A query parameter, from `low` to `high`, both included. Raises BadRequest."""
    if text is None:
        return default
    if re.fullmatch(r"[0-9]{1,9}", text) and low <= int(text) <= high:
        return int(text)
    raise BadRequest(f"{name} is a whole number from {low} to {high}", field=name, value=clip(text))

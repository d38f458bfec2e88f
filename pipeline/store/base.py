"""The port to object storage: four calls, each tried once, each with a typed outcome.

Retries and the question "was that lost reply my own success?" are answered once for all stores in
pipeline/store/conditional.py. `MemoryStore` (exact semantics) and `S3Store` implement the port.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

CONNECT_S = 3.0
"""Longest that a store may take to be reached."""
READ_S = 5.0
"""Longest that a call may then stand still before its outcome counts as unknown."""


@dataclass(frozen=True)
class IfAbsent:
    """Write only if the key does not exist (If-None-Match: *)."""


@dataclass(frozen=True)
class IfMatch:
    """Write only if the key's current ETag is this one (If-Match)."""

    etag: str


@dataclass(frozen=True)
class Always:
    """Write whatever is there. Only for keys that one execution alone writes."""


ALWAYS = Always()

Condition = IfAbsent | IfMatch | Always


@dataclass(frozen=True)
class Written:
    etag: str
    """Without quotes."""
    date: datetime
    """The store's clock when it answered (the reply's Date header), UTC, whole seconds."""


@dataclass(frozen=True)
class Stored:
    body: bytes
    """The whole object, or the part of it that was asked for."""
    size: int
    """Of the whole object, in bytes."""
    etag: str
    last_modified: datetime
    """When it was written, by the store's clock, as is `date`, when it answered: UTC, whole
    seconds."""
    date: datetime


@dataclass(frozen=True)
class Entry:
    key: str
    etag: str
    """Without quotes, the same as of a GET or a PUT."""
    size: int
    """Bytes."""
    last_modified: datetime
    """By the store's clock, UTC."""


@dataclass(frozen=True)
class Page:
    entries: Sequence[Entry]
    """In byte order of their keys."""
    truncated: bool
    """Whether more entries follow."""
    date: datetime
    """The store's clock when it listed: the only clock that expiry is judged by."""


class PreconditionFailed(Exception):
    """The condition did not hold (412), or a write's IfMatch met a missing key (404)."""


class Busy(Exception):
    """The store asks to come again: 409 racing writers, 429, 503 slow down. Nothing was written."""


class OutcomeUnknown(Exception):
    """Timeout, broken connection or 5xx: a write may have been applied or not."""


class Store(Protocol):
    """Any method may raise Busy, OutcomeUnknown, or StoreDenied from the error tree."""

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        """The object, or None. Of its body, at most `limit` bytes from `offset`."""

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        """Write the whole object or nothing. Raises PreconditionFailed."""

    def delete(self, key: str, condition: IfMatch | Always = ALWAYS) -> None:
        """Remove the object; a key that is not there is no error.

        With a condition, it may be PreconditionFailed as well. Not every store takes one here, and
        one that takes it may not keep to it: probe.py finds out.
        """

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        """Up to `limit` (1 to 1000) entries with this prefix and a key above `start_after`."""


@runtime_checkable
class Presigns(Protocol):
    """A store whose objects can be read by whoever has a URL of it. Not every store can."""

    def presigned_url(self, key: str, seconds: int) -> str:
        """Reads the object for so long, without any other right. No request is made, so the object
        need not be there."""

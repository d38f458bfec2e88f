"""Conditional writes that survive lost replies, for any store of the port.

A write that timed out may have been applied, and after a retry one's own success looks like 412.
So every body carries a nonce (lease, result) or is compared as a whole (manifest), and after any
unclear answer the key is read: our bytes there mean that we won.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import TypeVar, cast
from uuid import uuid4

from config.errors import StoreUnavailable
from pipeline.store.base import (
    ALWAYS,
    CONNECT_S,
    READ_S,
    Busy,
    Entry,
    IfAbsent,
    IfMatch,
    OutcomeUnknown,
    Page,
    PreconditionFailed,
    Store,
    Stored,
)
from pipeline.store.probe import honours_if_match_on_delete
from system.backoff import Backoff

T = TypeVar("T")


@dataclass(frozen=True)
class Won:
    etag: str
    """Of the object that stands there."""
    fresh: bool
    """True if the store's own reply said so. False if found by reading: then our bytes are there,
    but an equal writer may have put them there before us."""


@dataclass(frozen=True)
class Lost:
    current: Stored | None
    """What stands there instead; None if the key that should match is gone."""


Outcome = Won | Lost


class Attempted(Enum):
    MINE = auto()
    LOST = auto()
    AGAIN = auto()
    """The key is as before: our write was not applied, so the same write may be sent again."""


def classify(body: bytes, condition: IfAbsent | IfMatch, current: Stored | None) -> Attempted:
    """What an unclear conditional write came to, given what stands at the key now."""
    if current is not None and current.body == body:
        return Attempted.MINE
    untouched = (
        current is None
        if isinstance(condition, IfAbsent)
        else current is not None and current.etag == condition.etag
    )
    return Attempted.AGAIN if untouched else Attempted.LOST


TRIES = 6
"""How often a call is made before it gives up on a store that stays unclear."""
BACKOFF = Backoff(first_s=0.1, longest_s=5.0)
"""Between two of them; a half of each pause is jitter."""
PATIENCE_S = 20.0
"""Longest that a call takes with a store that hangs, all tries together."""
LAST_START_S = PATIENCE_S - CONNECT_S - READ_S
"""No try begins later."""


class SafeStore:
    """A store whose every call ends in a definite outcome or in StoreUnavailable, after PATIENCE_S
    at most. StoreDenied passes through.

    It also remembers the store's clock: `now()` is the last Date it saw plus the time since then on
    the monotonic clock. The local wall clock is never read.
    """

    def __init__(
        self,
        store: Store,
        *,
        conditional_delete: bool | None = False,
        tries: int = TRIES,
        backoff: Backoff = BACKOFF,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`conditional_delete` says whether the store's DELETE honours If-Match; None, that the
        store is to be asked when it matters."""
        self.raw = store
        self._conditional_delete = conditional_delete
        self._tries = tries
        self._backoff = backoff
        self._sleep = sleep
        self._monotonic = monotonic
        self._jitter = jitter
        self._seen: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """The store's clock, UTC. Before any reply was seen, asks for one."""
        if self._seen is None:
            self.list("leases/", limit=1)
        assert self._seen is not None
        date, at = self._seen
        return date + timedelta(seconds=self._monotonic() - at)

    def get(self, key: str, *, offset: int = 0, limit: int | None = None) -> Stored | None:
        """As the port: of the body, at most `limit` bytes from `offset`."""
        return self._get(key, offset, limit, self._last_start())

    def _get(self, key: str, offset: int, limit: int | None, last_start: float) -> Stored | None:
        stored = self._until_clear(
            lambda: self.raw.get(key, offset=offset, limit=limit), last_start
        )
        if stored is not None:
            self._saw(stored.date)
        return stored

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        """As the store lists it, without the empty objects by which consoles show folders."""
        while True:
            after = start_after
            page = self._until_clear(lambda: self.raw.list(prefix, start_after=after, limit=limit))  # noqa: B023 - called at once
            self._saw(page.date)
            kept = [entry for entry in page.entries if not _is_folder(entry)]
            if kept or not page.truncated:
                return replace(page, entries=tuple(kept))
            start_after = page.entries[-1].key

    def delete(self, key: str) -> None:
        """Whatever stands there; a key that is not there is no error."""
        self._until_clear(lambda: self.raw.delete(key))

    def delete_matching(self, key: str, etag: str) -> None:
        """Remove what has this ETag; another object that was put there since stays.

        Where DELETE is not conditional, whatever stands there goes.
        """
        last_start = self._last_start()
        condition = IfMatch(etag) if self.deletes_conditionally() else ALWAYS
        with suppress(PreconditionFailed):
            self._until_clear(lambda: self.raw.delete(key, condition), last_start)

    def deletes_conditionally(self) -> bool:
        """Whether the store's DELETE honours If-Match. It is asked once, and no clear answer is a
        no."""
        if self._conditional_delete is None:
            try:
                self._conditional_delete = honours_if_match_on_delete(self.raw, uuid4().hex)
            except (Busy, OutcomeUnknown):
                self._conditional_delete = False
        return self._conditional_delete

    def write(self, key: str, body: bytes, content_type: str) -> None:
        """Write a key that this execution alone writes: repeating it is harmless."""
        written = self._until_clear(lambda: self.raw.put(key, body, ALWAYS, content_type))
        self._saw(written.date)

    def create(
        self, key: str, body: bytes | memoryview, content_type: str = "application/json"
    ) -> Outcome:
        """Write where nothing stands. Lost shows what does.

        A memoryview is of a file that is too large for memory, mapped by whoever calls.
        """
        # It is measured, hashed, cut and compared as bytes are, by every store of the port.
        return self._conditional(key, cast(bytes, body), IfAbsent(), content_type)

    def replace(self, key: str, body: bytes, etag: str) -> Outcome:
        """Write where this ETag stands. Lost shows what stands there instead."""
        return self._conditional(key, body, IfMatch(etag))

    def _conditional(
        self,
        key: str,
        body: bytes,
        condition: IfAbsent | IfMatch,
        content_type: str = "application/json",
    ) -> Outcome:
        problem: Exception | None = None
        last_start, again = self._last_start(), True
        attempt = 0
        while again:
            attempt += 1
            try:
                written = self.raw.put(key, body, condition, content_type)
            except PreconditionFailed:
                again = attempt < self._tries
            except (Busy, OutcomeUnknown) as error:
                problem = error
                again = self._pause(attempt, last_start)
            else:
                self._saw(written.date)
                return Won(written.etag, fresh=attempt == 1)
            if self._monotonic() > last_start:
                break
            current = self._get(key, 0, None, last_start)
            verdict = classify(body, condition, current)
            if verdict is Attempted.MINE:
                assert current is not None
                return Won(current.etag, fresh=False)
            if verdict is Attempted.LOST:
                return Lost(current)
        raise self._unavailable(attempt, problem)

    def _until_clear(self, call: Callable[[], T], last_start: float | None = None) -> T:
        last_start = self._last_start() if last_start is None else last_start
        attempt = 1
        while True:
            try:
                return call()
            except (Busy, OutcomeUnknown) as error:
                if not self._pause(attempt, last_start):
                    raise self._unavailable(attempt, error) from error
            attempt += 1

    def _last_start(self) -> float:
        """Of the tries of a call that begins now, on the monotonic clock."""
        return self._monotonic() + LAST_START_S

    def _pause(self, attempt: int, last_start: float) -> bool:
        """Whether another try is due, after the pause before it."""
        pause_s = self._backoff.pause_s(attempt) * (0.5 + self._jitter() / 2)
        if attempt >= self._tries or self._monotonic() + pause_s > last_start:
            return False
        self._sleep(pause_s)
        return True

    def _saw(self, date: datetime) -> None:
        self._seen = (date, self._monotonic())

    def _unavailable(self, tries: int, problem: Exception | None) -> StoreUnavailable:
        return StoreUnavailable(
            f"the store gave no clear answer in {tries} tries: {problem}",
            hint="Check the endpoint and its health; nothing is lost, the job goes on later.",
        )


def _is_folder(entry: Entry) -> bool:
    return entry.size == 0 and entry.key.endswith("/")


def listed(store: SafeStore, prefix: str, *, start_after: str = "") -> Iterator[Entry]:
    """Every entry under a prefix, page by page, with a key above `start_after`."""
    after = start_after
    while True:
        page = store.list(prefix, start_after=after)
        yield from page.entries
        if not page.truncated:
            return
        after = page.entries[-1].key

"""Every promise of a store that the queue rests on, tried on the store itself, races included.

The probe at start-up asks one thing after the other, and a store whose racing conditional writes
all win would pass it. These checks take some seconds, on R2 a minute, and leave nothing behind.
"""

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

from config.errors import RylaError, StoreError
from pipeline.store.base import Busy, Condition, OutcomeUnknown, Store, Written
from pipeline.store.bucket_bench import Bench
from pipeline.store.bucket_checks import CHECKS, Check
from pipeline.store.conditional import SafeStore, listed
from pipeline.store.probe import PREFIX


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """The queue goes on without."""
    FAILED = "failed"
    """The queue cannot do without."""


@dataclass(frozen=True)
class Finding:
    check: str
    health: Verdict
    found: str
    """In words."""
    carries: str
    """What rests on it."""


def run_suite(
    raw: Store,
    deaf: Store,
    *,
    racers: int = 4,
    rounds: int = 10,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[Finding, None, None]:
    """Each check's finding as it comes. What was written is removed at the end, whatever ends it.

    `deaf` is the same store with replies to writes lost, or a LostReplies of it. In each race
    `racers` threads write at once, `rounds` times.
    """
    prefix = f"{PREFIX}{uuid4().hex}/"
    try:
        for check in CHECKS:
            yield _finding(check, Bench(raw, deaf, prefix, racers, rounds, sleep))
    finally:
        with suppress(StoreError):
            for entry in listed(SafeStore(raw), prefix):
                SafeStore(raw).delete(entry.key)


def _finding(check: Check, bench: Bench) -> Finding:
    try:
        kept, found = check.run(bench)
    except (RylaError, Busy, OutcomeUnknown) as error:
        kept, found = False, f"{type(error).__name__}: {error}"
    missing = Verdict.FAILED if check.needed else Verdict.WARNING
    return Finding(check.name, Verdict.OK if kept else missing, found, check.carries)


class LostReplies:
    """Carries writes out and does not say so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.get, self.list, self.delete = store.get, store.list, store.delete

    def put(
        self, key: str, body: bytes, condition: Condition, content_type: str = "application/json"
    ) -> Written:
        self._store.put(key, body, condition, content_type)
        raise OutcomeUnknown("the reply was lost")

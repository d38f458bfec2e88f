"""What a killed dispatcher has left: jobs that its own workers were given and never began."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import structlog

from config.errors import InvalidId
from config.platforms import LOCAL
from pipeline.contract.keys import INBOX, LEASES, lease_id, parse_inbox_key
from pipeline.contract.lease import Lease, Phase
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore, Won, listed


def reclaim(store: SafeStore, is_left: Callable[[Lease], bool], threads: int = 1) -> int:
    """Hand back every job of the dead that was given to a worker and not begun. How many there
    were. Raises a StoreError.

    A LIST of leases/, a GET for each of them, and a LIST of inbox/ where any is left: once, at a
    dispatcher's start.
    """
    with ThreadPoolExecutor(threads, "reclaim") as pool:
        found = pool.map(lambda entry: _left(store, entry, is_left), listed(store, LEASES))
        left = [each for each in found if each is not None]
    # One whose entry still stands may lack its manifest; its short claim lapses by itself.
    waiting = set(_inbox_ids(store)) if left else set()
    handed_back = 0
    for key, etag, lease in left:
        if lease.id not in waiting:
            free = lease.waiting(not_before=store.now())
            handed_back += isinstance(store.replace(key, free.body(), etag), Won)
    if handed_back:
        structlog.get_logger(__name__).info("reclaimed", jobs=handed_back)
    return handed_back


def _inbox_ids(store: SafeStore) -> Iterator[str]:
    for entry in listed(store, INBOX):
        with suppress(InvalidId):
            yield parse_inbox_key(entry.key).id


def _left(
    store: SafeStore, entry: Entry, is_left: Callable[[Lease], bool]
) -> tuple[str, str, Lease] | None:
    stored = None if lease_id(entry.key) is None else store.get(entry.key)
    lease = None if stored is None else Lease.parse(stored.body)
    if stored is None or lease is None or lease.phase not in (Phase.CLAIMED, Phase.SPAWNED):
        return None
    return (entry.key, stored.etag, lease) if is_left(lease) else None


def is_running(pid: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


@dataclass(frozen=True)
class Owner:
    """A dispatcher, as the leases that it claims name it for people: `cli@host:4711`."""

    kind: str
    host: str
    pid: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.host}:{self.pid}"

    def inherits(
        self, lease: Lease, platform: str, lives: Callable[[int], bool] = is_running
    ) -> bool:
        """Whether the job was given to workers of this machine by a dispatcher that is no more: one
        of another process, or that had this one's number, as each has in a container that starts
        anew. `platform` is where jobs go that name none.

        A dispatcher in a container beside this one may seem dead that is not; then its unbegun jobs
        begin here instead.
        """
        before, _, number = lease.owner.rpartition(":")
        if before != f"{self.kind}@{self.host}" or (lease.platform or platform) != LOCAL:
            return False
        return number.isdecimal() and (int(number) == self.pid or not lives(int(number)))

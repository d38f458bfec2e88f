"""What a tick sees: the leases, the inbox, and how many places are free."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from pipeline.contract.keys import INBOX, LEASES, lease_key, parse_inbox_key
from pipeline.contract.lease import Lease
from pipeline.queue.admission import Scan, Slots
from pipeline.queue.expiry import LeaseState, Lifetimes, ListedLease, lease_state
from pipeline.queue.lease_cache import LeaseCache
from pipeline.runtime import RuntimeConfig
from pipeline.store.base import Entry, Stored
from pipeline.store.conditional import SafeStore

MAX_LEASE_BYTES = 256 * 1024
"""Of what lies under leases/, no more is read: a stranger's object may be of any size."""


@dataclass(frozen=True)
class Survey:
    """One look at the bucket."""

    date: datetime
    """The store's clock at the first page of leases: later pages only make leases look younger."""
    held: Sequence[ListedLease]
    in_flight: Sequence[Lease]
    slots: Slots
    scan: Scan
    lists: int
    reads: int
    """Leases read; a lease that this dispatcher wrote or read before costs nothing."""


@dataclass(frozen=True)
class Surveyor:
    store: SafeStore
    lease_cache: LeaseCache
    runtime: RuntimeConfig
    pool: ThreadPoolExecutor

    def look(self, changed_keys: Collection[str] = ()) -> Survey:
        """LIST leases/ and as much of inbox/ as there are slots for. Two LISTs when idle.

        With `changed_keys` of the inbox, only those are looked at, if they are there.
        """
        entries, date, lease_pages = self._list_leases()
        reads = self._read_needed(entries, date)
        ids = [held.id for held in self.lease_cache.held(entries)]
        in_flight = list(self.lease_cache.in_flight(ids))
        slots = free_slots(self.runtime, in_flight)
        scan = Scan(slots, frozenset(ids))
        inbox_pages = 0 if self._take_changed(scan, changed_keys) else self._scan(scan)
        if scan.skipped:
            # A full route may be full of jobs that ended: worth reading what changed. It counts
            # from the next tick on.
            reads += self._read(held for held in self.lease_cache.held(entries) if _changed(held))
        held_now = tuple(self.lease_cache.held(entries))
        return Survey(date, held_now, in_flight, slots, scan, lease_pages + inbox_pages, reads)

    def _list_leases(self) -> tuple[list[Entry], datetime, int]:
        page = self.store.list(LEASES)
        entries, date, pages = list(page.entries), page.date, 1
        while page.truncated:
            page = self.store.list(LEASES, start_after=entries[-1].key)
            entries += page.entries
            pages += 1
        return entries, date, pages

    def _read_needed(self, entries: Sequence[Entry], date: datetime) -> int:
        held = list(self.lease_cache.held(entries))
        self.lease_cache.keep_only(each.id for each in held)
        lifetimes = Lifetimes.of(self.runtime.settings)
        return self._read(
            each
            for each in held
            if not self.lease_cache.is_known(each.id)
            or lease_state(each, date, None, lifetimes) is LeaseState.UNKNOWN
        )

    def _read(self, wanted: Iterable[ListedLease]) -> int:
        ids = [each.id for each in wanted]
        for id, stored in zip(ids, self.pool.map(self._get, ids), strict=True):
            if stored is not None:
                self.lease_cache.note(id, stored.etag, Lease.parse(stored.body))
        return len(ids)

    def _get(self, id: str) -> Stored | None:
        return self.store.get(lease_key(id), limit=MAX_LEASE_BYTES)

    def _take_changed(self, scan: Scan, changed_keys: Collection[str]) -> bool:
        """Whether what was heard of is all there, and taken in. A GET tells as much as a LIST."""
        waiting = sorted(key for key in changed_keys if parse_inbox_key(key).id not in scan.held)
        stored = list(self.pool.map(lambda key: self.store.get(key, limit=1), waiting))
        if not changed_keys or None in stored:
            return False
        scan.take(
            [
                Entry(key, each.etag, each.size, each.last_modified)
                for key, each in zip(waiting, stored, strict=True)
                if each is not None
            ]
        )
        return True

    def _scan(self, scan: Scan) -> int:
        after: str | None = ""
        pages = 0
        while after is not None and pages < self.runtime.settings.max_list_pages:
            page = self.store.list(INBOX, start_after=after)
            pages += 1
            after = scan.take(page.entries)
            if not page.truncated:
                break
        return pages


def _changed(held: ListedLease) -> bool:
    return held.lease is None and not held.unreadable


def free_slots(runtime: RuntimeConfig, in_flight: Iterable[Lease]) -> Slots:
    taken = Counter(runtime.route_of(lease.model or "") for lease in in_flight)
    routes = runtime.routes.routes.values()
    free = {route.name: max(0, route.max_in_flight - taken[route.name]) for route in routes}
    return Slots(free, runtime.route_of)


def by_tenant(leases: Iterable[Lease]) -> Counter[str | None]:
    """Jobs in flight by the tenant in their inbox key, None for bare keys."""
    return Counter(parse_inbox_key(lease.entry).tenant for lease in leases)

"""What a tick sees: the leases, the inbox, and how many slots are free."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.contract.keys import (
    INBOX,
    LEASES,
    MAX_BYTES,
    lease_key,
    manifest_key,
    parse_inbox_key,
)
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.summary import subject
from pipeline.dispatcher.gate import Gate
from pipeline.dispatcher.gate_reader import GateReader
from pipeline.dispatcher.judged_lease import judged_by_body
from pipeline.inputs.supplies import lora_places
from pipeline.queue.admission import Contents, RouteOf, ServiceOrder, Share, Slots, Waiting
from pipeline.queue.backlog import Backlog, Scan
from pipeline.queue.expiry import LeaseState, Lifetimes, ListedLease, lease_state
from pipeline.queue.lease_cache import LeaseCache
from pipeline.queue.platforms import UNSTARTED, Written
from pipeline.queue.retries import as_waiting, is_due, is_retrying
from pipeline.queue.spend_parts import SpendParts
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
    known: Sequence[Written]
    """Those that were ever read, as last read, which may not be what stands now."""
    in_flight: Sequence[Lease]
    """The jobs that take a slot."""
    slots: Slots
    order: ServiceOrder
    scan: Scan
    gate: Gate
    """Open where nothing was found that it could hold."""
    lists: int
    """LIST requests made."""
    reads: int
    """Leases read, and bodies of bare keys. A lease that this dispatcher wrote or read before costs
    nothing."""

    @property
    def retrying(self) -> int:
        """How many jobs wait for their retry, and for nothing else."""
        return sum(map(is_retrying, self._leases)) - self.held_up_retries

    @property
    def held_up_retries(self) -> int:
        """How many jobs that have a lease wait for a stop to be lifted, or for a budget."""
        retrying = (lease for lease in self._leases if is_retrying(lease))
        return sum(self.gate.holds_retry(lease, self.date) for lease in retrying)

    @property
    def _leases(self) -> list[Lease]:
        return [held.lease for held in self.held if held.lease is not None]


@dataclass(frozen=True)
class Surveyor:
    store: SafeStore
    lease_cache: LeaseCache
    backlog: Backlog
    runtime: RuntimeConfig
    pool: ThreadPoolExecutor
    draw: Callable[[], float]
    """A number from 0 to 1: where a new process begins to list what lies behind the head."""
    reads_bare: bool = False
    """Whether bare keys are read although all may find a slot, and of what was claimed unread the
    manifest: for whoever must know which route each job waits for."""
    chooses_platforms: bool = False
    """Whether all is read that the choice of a platform goes by: bare keys, manifests of what was
    claimed unread, and, a GET a job, leases of jobs that have been started."""
    platforms: frozenset[str] = frozenset()
    """Those that this dispatcher can spawn on, where routes name some."""
    counts_ended: bool = False
    """Whether, where there are budgets, they are counted as well after jobs have ended."""
    spend_parts: SpendParts = field(default_factory=SpendParts)

    def look(self, changed_keys: Collection[str] = ()) -> Survey:
        """LIST leases/ and as much of inbox/ as a tick may, and stops/ where a job waits or is due,
        or where ended ones are counted. Two LISTs when idle.

        With `changed_keys` of the inbox, only those are looked at, if they are there.
        """
        entries, date, lists = self._list_leases()
        ended = self.lease_cache.keep_only(each.id for each in self.lease_cache.held(entries))
        reads = self._read_needed(entries, date) + self._read_starts(entries)
        ids = frozenset(held.id for held in self.lease_cache.held(entries))
        in_flight, slots, order = self._shares(ids, date)
        gate = GateReader(
            self.store,
            self.runtime,
            self.lease_cache,
            entries,
            date,
            self.pool,
            self.spend_parts,
            self.platforms,
        )
        scan = self._scan_of(self.backlog.apart(), order, slots, ids)
        if not self._take_changed(scan, changed_keys):
            scan = self._scan_of(self.backlog, order, slots, ids)
            lists += self._list_inbox(scan, gate)
        counts = ended and self.counts_ended and bool(self.runtime.budgets.budgets)
        if counts or scan.backlog.known or self._any_due(entries, date):
            gate.learn(scan)
        if not slots.suffice(scan.waiting):
            # A full route may be full of jobs that ended: worth reading what changed.
            reads += self._read(held for held in self.lease_cache.held(entries) if _changed(held))
            in_flight, scan.slots, scan.order = self._shares(ids, date)
        scan.retrying = self._retrying(gate.gate, entries, date)
        reads += self._read_bodies(scan)
        held_now, known = tuple(self.lease_cache.held(entries)), tuple(self._known(entries))
        return Survey(
            date,
            held_now,
            known,
            in_flight,
            scan.slots,
            scan.order,
            scan,
            gate.gate,
            lists + gate.lists,
            reads,
        )

    @property
    def _reads_all(self) -> bool:
        return self.reads_bare or self.chooses_platforms

    def _any_due(self, entries: Sequence[Entry], date: datetime) -> bool:
        lifetimes = Lifetimes.of(self.runtime.settings)
        return any(
            lease_state(held, date, None, lifetimes) is LeaseState.DUE
            for held in self.lease_cache.held(entries)
        )

    def _shares(
        self, ids: Collection[str], date: datetime
    ) -> tuple[Sequence[Lease], Slots, ServiceOrder]:
        """The jobs in flight, what they leave free, and what they mean for the order."""
        in_flight = list(self.lease_cache.in_flight(ids))
        free = free_slots(self.runtime, in_flight)
        return in_flight, free, service_order(self.runtime, in_flight, date)

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
        lifetimes = Lifetimes.of(self.runtime.settings)
        return self._read(
            each
            for each in held
            if (_changed(each) and not self.lease_cache.is_known(each.id))
            or lease_state(each, date, None, lifetimes) is LeaseState.UNKNOWN
        )

    def _known(self, entries: Sequence[Entry]) -> Iterator[Written]:
        for held in self.lease_cache.held(entries):
            lease = self.lease_cache.last(held.id)
            if lease is not None:
                yield lease, held.entry.last_modified

    def _read_starts(self, entries: Sequence[Entry]) -> int:
        if not self.chooses_platforms:
            return 0
        last = self.lease_cache.last
        return self._read(
            held
            for held in self.lease_cache.held(entries)
            if _changed(held) and (lease := last(held.id)) and lease.phase in UNSTARTED
        )

    def _read(self, wanted: Iterable[ListedLease]) -> int:
        ids = [each.id for each in wanted]
        for id, read in zip(ids, self.pool.map(self._get, ids), strict=True):
            if read is not None:
                self.lease_cache.note(id, *read)
        return len(ids)

    def _get(self, id: str) -> tuple[str, Lease | None] | None:
        """The lease with its ETag. One that was handed back before its job was read, or started,
        lacks the model that its retry needs a slot for: the manifest has it."""
        stored = self.store.get(lease_key(id), limit=MAX_LEASE_BYTES)
        if stored is None:
            return None
        lease = Lease.parse(stored.body)
        asked = self._reads_all or (lease is not None and lease.phase is Phase.RETRY)
        if lease is not None and self._is_unpriced(lease):
            manifest = self.store.get(manifest_key(id))
            if manifest is None:
                return None  # about to be written: the next look tells
            return stored.etag, judged_by_body(lease, manifest.body, self.runtime)
        if lease is not None and lease.model is None and asked:
            manifest = self.store.get(manifest_key(id))
            if manifest is None and self.reads_bare:
                return None  # about to be written: the next look tells
            if manifest is not None:
                said = contents(lease.entry, stored.last_modified, manifest.body, self.runtime)
                lease = lease.model_copy(update={"model": said.model, "tenant": said.tenant})
        return stored.etag, lease

    def _is_unpriced(self, lease: Lease) -> bool:
        """Whether another dispatcher has claimed it, so that its budgets are told by its manifest
        alone."""
        over = lease.committed or lease.vacant
        return bool(self.runtime.budgets.budgets) and lease.estimate_usd is None and not over

    def _retrying(self, gate: Gate, entries: Sequence[Entry], date: datetime) -> Sequence[Waiting]:
        leases = (held.lease for held in self.lease_cache.held(entries))
        return [
            as_waiting(lease)
            for lease in leases
            if lease is not None
            and is_retrying(lease)
            and is_due(lease, date)
            and not gate.holds_retry(lease, date)
        ]

    def _scan_of(
        self, backlog: Backlog, order: ServiceOrder, slots: Slots, ids: frozenset[str]
    ) -> Scan:
        return Scan(backlog, order, slots, ids, self.runtime.settings.max_list_pages, self.draw)

    def _take_changed(self, scan: Scan, changed_keys: Collection[str]) -> bool:
        """Whether what was heard of is all there, and taken in. A GET tells as much as a LIST."""
        waiting = sorted(key for key in changed_keys if parse_inbox_key(key).id not in scan.held)
        stored = list(self.pool.map(self._get_body, waiting))
        if not changed_keys or None in stored:
            return False
        for key, each in zip(waiting, stored, strict=True):
            if each is not None:
                self._take_body(scan, key, each)
        return True

    def _list_inbox(self, scan: Scan, gate: GateReader) -> int:
        """How many LISTs it took."""
        after: str | None = scan.begin()
        pages = 0
        while after is not None:
            page = self.store.list(INBOX, start_after=after)
            pages += 1
            if page.entries:  # what is stopped takes no place among what stays known
                gate.learn(scan)
            after = scan.take(page)
        return pages

    def _read_bodies(self, scan: Scan) -> int:
        """Read what bare keys do not say. How many were read."""
        unread = scan.bare() if self._reads_all else scan.unread()
        bodies = self.pool.map(self._get_body, [job.entry.key for job in unread])
        for job, stored in zip(unread, bodies, strict=True):
            if stored is None:
                scan.backlog.forget([job])
            else:
                self._take_body(scan, job.entry.key, stored)
        return len(unread)

    def _get_body(self, key: str) -> Stored | None:
        return self.store.get(key, limit=MAX_BYTES + 1)

    def _take_body(self, scan: Scan, key: str, stored: Stored) -> None:
        said = contents(key, stored.last_modified, stored.body, self.runtime)
        scan.backlog.learn(Entry(key, stored.etag, stored.size, stored.last_modified), said)


def _changed(held: ListedLease) -> bool:
    return held.lease is None and not held.unreadable


def contents(key: str, written: datetime, body: bytes, runtime: RuntimeConfig) -> Contents:
    """What orders a job, out of its body. It may be any bytes, and is judged after the claim."""
    said = subject(parse_inbox_key(key).id, key, written, body)
    loras = lora_places(said.input, runtime.settings.lora_prefix)
    return Contents(said.tenant, said.kind or "", loras)


def free_slots(runtime: RuntimeConfig, in_flight: Iterable[Lease]) -> Slots:
    """What the jobs in flight leave of each route's `max_in_flight`, never below 0; none of a route
    that is left to other dispatchers."""
    taken = Counter(runtime.route_of(lease.model) for lease in in_flight)
    routes = runtime.routes.routes.values()
    closed = runtime.unclaimed_routes
    free: dict[str | None, int] = {
        route.name: 0 if route.name in closed else max(0, route.max_in_flight - taken[route.name])
        for route in routes
    }
    return Slots(free, runtime.route_of)


def service_order(
    runtime: RuntimeConfig, in_flight: Iterable[Lease], date: datetime
) -> ServiceOrder:
    """What waiting jobs are compared by; `date` is the store's clock."""
    loras: defaultdict[str | None, set[str]] = defaultdict(set)
    for lease in in_flight:
        if lease.lora is not None:
            loras[runtime.route_of(lease.model)].add(lease.lora)
    return ServiceOrder(
        date,
        runtime.settings.aging_seconds,
        runtime.route_of,
        by_share(in_flight, runtime.route_of),
        {route: frozenset(keys) for route, keys in loras.items()},
    )


def by_share(leases: Iterable[Lease], route_of: RouteOf) -> Mapping[Share, int]:
    """Jobs in flight by tenant and route. One of a bare key counts as soon as they are known."""
    return Counter(
        (lease.tenant, route_of(lease.model)) for lease in leases if lease.model is not None
    )

"""Who waits and who is in progress: one listing, looked at by all who need one.

A listing costs by the jobs that wait, so it is made again only when somebody asks and the last one
is too old; the jobs posted here since are added to it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from pipeline.api.concurrency import Threads
from pipeline.contract.keys import INBOX, LEASES, InboxName, lease_id, lease_key, parse_inbox_key
from pipeline.contract.lease import Lease
from pipeline.contract.stops import NO_STOPS, Stops
from pipeline.contract.summary import subject
from pipeline.jobs.status import inbox_id
from pipeline.queue.stops import read_stops
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore, listed

READS = 64
"""Leases and bare entries of unknown tenants that are read for one listing."""
SHARE = 10
"""A listing that takes long may be so many times its own duration old."""


@dataclass(frozen=True)
class Owner:
    tenant: str | None
    model: str | None


@dataclass(frozen=True)
class Posted:
    at: float
    """Monotonic."""
    name: InboxName


@dataclass(frozen=True)
class Snapshot:
    """One look at the inbox and the leases."""

    at: float
    """When it was begun, monotonic."""
    waiting: Mapping[str, Entry] = field(default_factory=dict)
    """By id."""
    held: Mapping[str, Entry] = field(default_factory=dict)
    """Leases, by id."""
    owners: Mapping[str, Owner] = field(default_factory=dict)
    """As far as they are known."""
    count: Mapping[str, int] = field(default_factory=dict)
    """Jobs by tenant."""
    stops: Stops = NO_STOPS
    """What an operator has stopped."""
    over: Set[str] = frozenset()
    """Ids of jobs that have ended since, or whose lease only owes what follows their end."""

    def ids_of(self, tenant: str) -> Iterator[str]:
        """In no order."""
        mine = (id for id, owner in self.owners.items() if owner.tenant == tenant)
        return (id for id in mine if id not in self.over)


@dataclass
class JobListing:
    """Lives on the event loop alone; its reading is done in `threads`."""

    store: SafeStore
    threads: Threads
    max_age_s: float
    """Of a listing that limits are judged by."""
    monotonic: Callable[[], float] = time.monotonic
    _last: Snapshot | None = None
    _took_s: float = 0.0
    _making: "asyncio.Task[Snapshot] | None" = None
    _posted: dict[str, Posted] = field(default_factory=dict)
    """By id, jobs that no listing was begun after, or has seen."""
    _mine: Counter[str | None] = field(default_factory=Counter)
    """How many of them are whose."""
    _ended: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """By id, whether the lease with that ETag is one of a job that is over."""
    _cancelled: dict[str, float] = field(default_factory=dict)
    """By id, jobs that were cancelled here and that a listing may still show, and when."""
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def posted(self, key: str) -> None:
        """A job was just put into the inbox."""
        name = parse_inbox_key(key)
        self._mine[name.tenant] += name.id not in self._posted
        self._posted[name.id] = Posted(self.monotonic(), name)

    def ended(self, id: str) -> None:
        """A job was cancelled here: it counts no more, whatever a listing saw before."""
        post = self._posted.pop(id, None)
        if post is not None:
            self._mine[post.name.tenant] -= 1
        self._cancelled[id] = self.monotonic()
        if self._last is not None:
            self._last = _without(self._last, {id})

    def key_of(self, id: str) -> str | None:
        """The inbox key of a job that waits as far as is known without asking."""
        if id in self._posted:
            return self._posted[id].name.key
        entry = self._last.waiting.get(id) if self._last else None
        return entry.key if entry else None

    @property
    def stops(self) -> Stops:
        """As the last listing saw them: for a word to the sender, not for a decision."""
        return self._last.stops if self._last else NO_STOPS

    async def jobs_of(self, tenant: str) -> int:
        """That wait or run. At most max_age_s old once there is a listing; then nobody waits for
        the next one."""
        if self._last is None:
            await self.look(since=self.monotonic())
        elif self._last.at < self.some_time_ago(self.max_age_s):
            self._start()
        assert self._last is not None
        return self._last.count.get(tenant, 0) + self._mine[tenant]

    async def ended_of(self, tenant: str) -> int:
        """Of the jobs counted, those that are over and whose events or callback are still owed. It
        reads each of the tenant's leases that changed: for those whom the count would turn away."""
        async with self._reading:
            last = self._last or Snapshot(self.monotonic())
            held = [last.held[id] for id in last.ids_of(tenant) if id in last.held]
            read = await self.threads.run(read_ended, self.store, held, self._ended)
            self._ended = {id: it for id, it in self._ended.items() if id in last.held} | read
        return sum(over for _, over in read.values())

    def just_posted(self, tenant: str) -> set[str]:
        """Ids of a tenant's jobs that came after the last listing was begun."""
        return {id for id, post in self._posted.items() if post.name.tenant == tenant}

    async def look(self, since: float) -> Snapshot:
        """A listing that was begun then (monotonic) or later. All who ask meanwhile share one."""
        while self._last is None or self._last.at < since:
            await asyncio.shield(self._start())
        return self._last

    def some_time_ago(self, seconds: float) -> float:
        """For `look`, by those for whom an older listing will do, the more so where one is dear.
        0 is for those for whom none will do."""
        return self.monotonic() - (max(seconds, SHARE * self._took_s) if seconds else 0.0)

    def _start(self) -> "asyncio.Task[Snapshot]":
        if self._making is None or self._making.done():
            self._making = asyncio.get_running_loop().create_task(self._make())
            self._making.add_done_callback(_look_at_its_end)
        return self._making

    async def _make(self) -> Snapshot:
        begun = self.monotonic()
        known = dict(self._last.owners) if self._last else {}
        known |= {id: _owner(post.name) for id, post in self._posted.items()}
        made = await self.threads.run(take_snapshot, self.store, begun, known)
        self._took_s = self.monotonic() - begun
        self._last = _without(made, self._cancelled.keys())
        self._cancelled = {
            id: at
            for id, at in self._cancelled.items()
            if at >= begun or id in made.waiting or id in made.held
        }
        # One that was posted meanwhile may have been seen by it, and must not count twice.
        self._posted = {
            id: post
            for id, post in self._posted.items()
            if post.at >= begun and id not in made.owners
        }
        self._mine = Counter(post.name.tenant for post in self._posted.values())
        return made


def _without(seen: Snapshot, ids: Set[str]) -> Snapshot:
    """These jobs count no more."""
    over = seen.over | ids
    owners = (owner for id, owner in seen.owners.items() if id not in over)
    count = Counter(owner.tenant for owner in owners if owner.tenant is not None)
    return replace(seen, count=count, over=over)


def _look_at_its_end(task: "asyncio.Task[Snapshot]") -> None:
    """Nobody may be waiting for it; asyncio complains of errors that nobody looks at."""
    if not task.cancelled():
        task.exception()


def take_snapshot(store: SafeStore, begun: float, known: Mapping[str, Owner]) -> Snapshot:
    """What waits is listed first: a job that is claimed meanwhile is then seen twice, never not."""
    waiting = {id: each for each in listed(store, INBOX) if (id := inbox_id(each.key))}
    held = {id: each for each in listed(store, LEASES) if (id := lease_id(each.key))}
    owners: dict[str, Owner] = {}
    reads = 0
    for id in {**waiting, **held}:
        owner = known.get(id)
        if (owner is None or owner.tenant is None) and id in waiting:
            owner = _owner(parse_inbox_key(waiting[id].key))
        if (owner is None or owner.tenant is None) and reads < READS:
            reads += 1
            owner = _read_owner(store, id, waiting.get(id))
        if owner is not None:
            owners[id] = owner
    count = Counter(owner.tenant for owner in owners.values() if owner.tenant is not None)
    return Snapshot(begun, waiting, held, owners, count, read_stops(store))


def read_ended(
    store: SafeStore, held: Sequence[Entry], known: Mapping[str, tuple[str, bool]]
) -> dict[str, tuple[str, bool]]:
    """Of each lease its ETag, and whether its job is over. One that went is none's any more."""
    read: dict[str, tuple[str, bool]] = {}
    for entry in held:
        id = lease_id(entry.key)
        assert id is not None
        there = known.get(id)
        if there is None or there[0] != entry.etag:
            stored = store.get(entry.key)
            lease = None if stored is None else Lease.parse(stored.body)
            there = (entry.etag, stored is None or (lease is not None and lease.committed))
        read[id] = there
    return read


def _owner(name: InboxName) -> Owner:
    return Owner(name.tenant, name.model)


def _read_owner(store: SafeStore, id: str, entry: Entry | None) -> Owner | None:
    """Of a job whose key says nothing, or whose inbox entry is gone."""
    if entry is not None:
        stored = store.get(entry.key)
        if stored is not None:
            about = subject(id, entry.key, entry.last_modified, stored.body)
            return Owner(about.tenant, about.kind)
    stored = store.get(lease_key(id))
    lease = None if stored is None else Lease.parse(stored.body)
    return None if lease is None else Owner(lease.tenant, lease.model)

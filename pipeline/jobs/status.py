"""Where jobs are, read from the bucket: waiting, in progress or finished."""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from heapq import nlargest

from config.errors import InvalidId
from pipeline.contract.keys import (
    DEFAULT_PRIORITY,
    INBOX,
    JOBS,
    LEASES,
    REJECTED,
    InboxName,
    lease_id,
    lease_key,
    manifest_key,
    parse_inbox_key,
    result_key,
)
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Result, Status
from pipeline.contract.spend_entry import EVER
from pipeline.queue.lease_cache import LeaseCache
from pipeline.queue.spend_reader import days_back, read_days, whole_since
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore, listed

READERS = 8
"""Leases read side by side."""


class State(StrEnum):
    UNKNOWN = "unknown"
    """Neither entry, lease nor result: no such job, or one whose lease somebody deleted."""
    WAITING = "waiting"
    CLAIMED = "claimed"
    """A dispatcher has taken it; it waits for a worker."""
    RUNNING = "running"
    RETRY = "retry"
    """It waits for its next attempt."""
    DELIVERING = "owing"
    """Finished; only its events are still to be delivered. The value is what commands print."""
    FINISHED = "finished"

    @property
    def ended(self) -> bool:
        """Whether nothing can keep the job waiting any more."""
        return self in (State.DELIVERING, State.FINISHED)


@dataclass(frozen=True)
class JobView:
    """One job as it stands."""

    id: str
    state: State
    result: Result | None = None
    """None while it is not finished, or when result.json cannot be read."""
    lease: Lease | None = None
    since: datetime | None = None
    """When what shows its state was written, by the store's clock."""

    @property
    def finished(self) -> bool:
        return self.state is State.FINISHED

    @property
    def succeeded(self) -> bool:
        return self.result is not None and self.result.status is Status.SUCCEEDED


def inbox_id(key: str) -> str | None:
    """The job that an inbox key names, or None."""
    try:
        return parse_inbox_key(key).id
    except InvalidId:
        return None


def look_up(store: SafeStore, ids: Collection[str]) -> dict[str, JobView]:
    """Where each of these jobs is. Lists the inbox at most once, for those found nowhere else."""
    views = {id: result_or_lease(store, id) for id in ids}
    missing = {id for id, view in views.items() if view.state is State.UNKNOWN}
    for id, entry in find_waiting(store, missing).items():
        views[id] = JobView(id, State.WAITING, since=entry.last_modified)
    # One that was claimed or finished between those readings has gone forward.
    for id, view in views.items():
        if view.state is State.UNKNOWN:
            views[id] = result_or_lease(store, id)
    return views


def bare_key(id: str) -> str:
    """The inbox key that says nothing but the id."""
    return InboxName(DEFAULT_PRIORITY, None, None, id).key


def find_entry(store: SafeStore, id: str) -> Entry | None:
    """The job's inbox entry: a bare one costs one LIST, a keyed one a LIST of the inbox."""
    key = bare_key(id)
    bare = [entry for entry in store.list(key, limit=1).entries if entry.key == key]
    return bare[0] if bare else find_waiting(store, {id}).get(id)


def find_waiting(store: SafeStore, ids: Collection[str]) -> dict[str, Entry]:
    """The inbox entries of these jobs. A keyed entry can only be found by listing the inbox."""
    if not ids:
        return {}
    found: dict[str, Entry] = {}
    for entry in listed(store, INBOX):
        id = inbox_id(entry.key)
        if id in ids:
            found.setdefault(id or "", entry)
            if len(found) == len(ids):
                break
    return found


def read_result(store: SafeStore, id: str) -> JobView | None:
    """The finished job, or None. What cannot be read as a result makes a view without one."""
    stored = store.get(result_key(id))
    if stored is None:
        return None
    return JobView(id, State.FINISHED, Result.parse(stored.body), since=stored.last_modified)


def result_or_lease(store: SafeStore, id: str) -> JobView:
    """Where this job is, without a look into the inbox: one that waits there is UNKNOWN."""
    done = read_result(store, id)
    if done is not None:
        return done
    stored = store.get(lease_key(id))
    if stored is None:
        return _adopted(store, id)
    return leased(id, Lease.parse(stored.body), stored.last_modified)


def _adopted(store: SafeStore, id: str) -> JobView:
    """A job whose lease a stranger deleted: its manifest is there, and nothing else."""
    stored = store.get(manifest_key(id), limit=1)
    if stored is None:
        return JobView(id, State.UNKNOWN)
    done = read_result(store, id)
    return done or JobView(id, State.UNKNOWN, since=stored.last_modified)


def leased(id: str, lease: Lease | None, since: datetime) -> JobView:
    """A job by its lease, None for one that cannot be read."""
    return JobView(id, _in_progress(lease), lease=lease, since=since)


def _in_progress(lease: Lease | None) -> State:
    if lease is not None and lease.committed:
        return State.DELIVERING  # even while a dispatcher has it, to send what is owed
    match lease.phase if lease else None:
        case Phase.RUNNING:
            return State.RUNNING
        case Phase.RETRY:
            return State.RETRY
    return State.CLAIMED  # a spawn writes nothing, so the lease does not tell it from a claim


@dataclass
class LeaseWatch:
    """Looks at leases again and again: one LIST a look, and a GET for each that changed."""

    store: SafeStore
    prefix: str = LEASES
    """Of the leases that are looked at."""
    reads: int = 0
    """Leases read so far."""
    _lease_cache: LeaseCache = field(default_factory=LeaseCache)

    def look(self) -> dict[str, JobView]:
        """By id, every job that has such a lease."""
        seen = listed(self.store, self.prefix)
        entries = {id: each for each in seen if (id := lease_id(each.key))}
        self._lease_cache.keep_only(entries)
        changed = [
            held.id
            for held in self._lease_cache.held(entries.values())
            if held.lease is None and not held.unreadable
        ]
        with ThreadPoolExecutor(READERS) as pool:
            for id, stored in zip(changed, pool.map(self._read, changed), strict=True):
                if stored is not None:
                    self._lease_cache.note(id, *stored)
        return {
            id: leased(id, self._lease_cache.last(id), entry.last_modified)
            for id, entry in entries.items()
        }

    def _read(self, id: str) -> tuple[str, Lease | None] | None:
        self.reads += 1
        stored = self.store.get(lease_key(id))
        return None if stored is None else (stored.etag, Lease.parse(stored.body))


@dataclass(frozen=True, order=True)
class Group:
    """Waiting jobs that are alike. `tenant` and `model` are None for bare keys."""

    priority: int
    tenant: str | None
    model: str | None


@dataclass
class Waiting:
    """The jobs of a group."""

    count: int
    oldest: datetime
    """When the first of them was written, by the store's clock."""


@dataclass(frozen=True)
class Overview:
    """All that waits or is in progress."""

    now: datetime
    """The store's clock."""
    waiting: Mapping[Group, Waiting]
    """In the order of service."""
    held: Mapping[str, JobView]
    invalid_entries: int
    """Inbox entries whose name is no job's."""
    rejected: int
    """Entries on the first page of rejected/: 1000 at most."""
    rejected_more: bool
    """Whether there are more rejected entries than were counted."""


def overview(store: SafeStore, leases: LeaseWatch | None = None) -> Overview:
    """All that waits or is in progress, by a LIST of leases, of the inbox, and of a page of
    rejected/.

    `leases` of an earlier look saves reading those that have not changed since.
    """
    held = (leases or LeaseWatch(store)).look()
    waiting: dict[Group, Waiting] = {}
    invalid_entries = 0
    for entry in listed(store, INBOX):
        try:
            name = parse_inbox_key(entry.key)
        except InvalidId:
            invalid_entries += 1
            continue
        if name.id not in held:
            _count(waiting, name, entry.last_modified)
    rejected = store.list(REJECTED)
    return Overview(
        now=store.now(),
        waiting=dict(sorted(waiting.items(), key=lambda item: _service_order(item[0]))),
        held=held,
        invalid_entries=invalid_entries,
        rejected=len(rejected.entries),
        rejected_more=rejected.truncated,
    )


def _count(waiting: dict[Group, Waiting], name: InboxName, written: datetime) -> None:
    there = waiting.setdefault(Group(name.priority, name.tenant, name.model), Waiting(0, written))
    there.count += 1
    there.oldest = min(there.oldest, written)


def _service_order(group: Group) -> tuple[int, str, str]:
    return (-group.priority, group.tenant or "", group.model or "")


def finished_ids(store: SafeStore, limit: int) -> list[str]:
    """The ids of results, the newest first, `limit` at most.

    By spend/, day by day from the last: a LIST for every 1,000 jobs that ended on a day. Within a
    day, it goes by when their objects were written, and a job whose object is still to come is
    missing. Where spend/ does not hold all that is asked for, all of jobs/ is listed.
    """
    whole, found = whole_since(store), list[str]()
    if whole is None:
        return _listed_ids(store, limit)
    for day in days_back(store):
        if day < whole:
            return _listed_ids(store, limit)
        noted = read_days(store, day, day)
        named = ((entry.last_modified, job.id) for entry, job in noted if job is not None)
        found += (id for _, id in nlargest(limit, named))
        found = list(dict.fromkeys(found))
        if len(found) >= limit:
            return found[:limit]
    return found if whole == EVER else _listed_ids(store, limit)


def _listed_ids(store: SafeStore, limit: int) -> list[str]:
    ends = "/result.json"
    results = (entry for entry in listed(store, JOBS) if entry.key.endswith(ends))
    newest = nlargest(limit, ((entry.last_modified, entry.key) for entry in results))
    return [key.removeprefix(JOBS).removesuffix(ends) for _, key in newest]

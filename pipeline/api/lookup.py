"""Where a tenant's job is. Another tenant's is as unknown as none."""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from config.errors import InvalidId, JobForgotten, UnknownJob
from pipeline.api.concurrency import Threads
from pipeline.api.listing_cache import JobListing
from pipeline.contract.keys import check_id, lease_key, manifest_key, parse_inbox_key
from pipeline.contract.lease import Lease
from pipeline.contract.result import Status
from pipeline.contract.summary import subject
from pipeline.jobs.status import JobView, State, leased, read_result
from pipeline.store.conditional import SafeStore

KEPT = 256
"""Results kept in memory."""
KEPT_S = 3.0
"""They never change, but that a job may be forgotten, by another process: after this they are read
again. Long enough for a client that fetches all pictures of a job."""
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class OwnedJob:
    """A job with what is known of whose it is."""

    view: JobView
    tenant: str | None
    model: str | None = None
    entry: str | None = None
    """Its inbox key, as long as it waits."""

    @property
    def finished(self) -> bool:
        return self.view.finished


@dataclass
class Lookup:
    store: SafeStore
    job_listing: JobListing
    threads: Threads
    _results: OrderedDict[str, tuple[OwnedJob, float]] = field(default_factory=OrderedDict)
    """By id, with when it was read, on the monotonic clock."""

    async def find(self, id: str, tenant: str) -> OwnedJob:
        """The tenant's job, wherever it is.

        Raises UnknownJob, also for an id that is none or another tenant's; JobForgotten;
        StoreUnavailable, StoreDenied.
        """
        try:
            owned = await self._find(check_id(id))
        except InvalidId:
            owned = None
        if owned is None or owned.tenant != tenant:
            raise UnknownJob(f"no job has the id {id}", field="id", value=id)
        if owned.view.result is not None and owned.view.result.status is Status.FORGOTTEN:
            raise JobForgotten(f"the job {id} is forgotten", field="id", value=id)
        return owned

    def keep(self, owned: OwnedJob) -> OwnedJob:
        """Remember a finished job."""
        if owned.finished:
            self._results[owned.view.id] = owned, self.job_listing.monotonic()
            self._results.move_to_end(owned.view.id)
            while len(self._results) > KEPT:
                self._results.popitem(last=False)
        return owned

    def is_over(self, id: str) -> bool:
        """As far as is known without asking; a listing may be older."""
        return id in self._results

    async def _find(self, id: str) -> OwnedJob | None:
        kept, at = self._results.get(id, (None, 0.0))
        if kept is not None and self.job_listing.monotonic() - at < KEPT_S:
            self._results.move_to_end(id)
            return kept
        owned = await self.threads.run(result_or_lease, self.store, id)
        if owned is None:
            owned = await self._waiting(id)
        return None if owned is None else self.keep(owned)

    async def _waiting(self, id: str) -> OwnedJob | None:
        key = self.job_listing.key_of(id)
        if key is None:
            # Another process may have taken it in a moment ago, so no older listing will do.
            seen = await self.job_listing.look(since=self.job_listing.monotonic())
            key = seen.waiting[id].key if id in seen.waiting else None
        if key is None:  # it may have gone forward between those readings
            return await self.threads.run(result_or_lease, self.store, id)
        name = parse_inbox_key(key)
        owned = OwnedJob(JobView(id, State.WAITING), name.tenant, name.model, key)
        return owned if name.tenant else await self.threads.run(_told_by_entry, self.store, owned)


def result_or_lease(store: SafeStore, id: str) -> OwnedJob | None:
    """The finished job, else the one in progress; None for one that waits, or is none."""
    return finished(store, id) or in_progress(store, id)


def finished(store: SafeStore, id: str) -> OwnedJob | None:
    """By its result; None without one."""
    done = read_result(store, id)
    return None if done is None else _ended(store, done)


def in_progress(store: SafeStore, id: str) -> OwnedJob | None:
    """By its lease, but the finished job where the lease only owes events."""
    stored = store.get(lease_key(id))
    if stored is None:
        return None
    lease = Lease.parse(stored.body)
    done = finished(store, id) if lease is not None and lease.committed else None
    if done is not None:
        return done
    view = leased(id, lease, stored.last_modified)
    owned = OwnedJob(view, lease.tenant if lease else None, lease.model if lease else None)
    return owned if owned.tenant is not None else _told_by_manifest(store, owned, lease)


def _ended(store: SafeStore, view: JobView) -> OwnedJob:
    result = view.result
    owned = OwnedJob(view, result.tenant if result else None, result.model if result else None)
    return owned if result is not None else _told_by_manifest(store, owned, None)


def _told_by_manifest(store: SafeStore, owned: OwnedJob, lease: Lease | None) -> OwnedJob:
    """A bare entry's lease does not say whose it is before a worker has it."""
    stored = store.get(manifest_key(owned.view.id))
    if stored is None and lease is not None:
        stored = store.get(lease.entry)
    return owned if stored is None else _told(owned, stored.body)


def _told_by_entry(store: SafeStore, owned: OwnedJob) -> OwnedJob | None:
    stored = store.get(owned.entry or "")
    return None if stored is None else _told(owned, stored.body)


def _told(owned: OwnedJob, body: bytes) -> OwnedJob:
    about = subject(owned.view.id, "", _NEVER, body)
    return replace(owned, tenant=about.tenant, model=about.kind)

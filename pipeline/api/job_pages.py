"""A tenant's jobs that wait or run, page by page."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.api.concurrency import Threads
from pipeline.api.listing_cache import JobListing, Snapshot
from pipeline.api.lookup import Lookup, OwnedJob, in_progress
from pipeline.contract.keys import parse_inbox_key
from pipeline.jobs.status import JobView, State
from pipeline.store.conditional import SafeStore

MOST = 100
"""Jobs on a page."""


@dataclass(frozen=True)
class Page:
    jobs: Sequence[OwnedJob]
    count: int
    """Of all the tenant's jobs, beyond this page too."""
    next: str | None
    """The id to go on after; None on the last page."""


@dataclass
class JobPages:
    store: SafeStore
    job_listing: JobListing
    lookup: Lookup
    threads: Threads
    max_age_s: float
    """Of the listing that is shown."""
    _read: dict[str, tuple[str, OwnedJob]] = field(default_factory=dict)
    """Id → ETag of its lease, and what that said: none is read twice."""

    async def page(self, tenant: str, after: str, limit: int) -> Page:
        """Jobs with an id above `after`, in the order of ids, at most `limit`. Raises
        StoreUnavailable or StoreDenied."""
        seen = await self.job_listing.look(since=self.job_listing.some_time_ago(self.max_age_s))
        listed = {*self.job_listing.just_posted(tenant), *seen.ids_of(tenant)}
        mine = sorted(id for id in listed if not self.lookup.is_over(id))
        shown = [id for id in mine if id > after][:limit]
        self._read = {id: read for id, read in self._read.items() if id in seen.held}
        places = await asyncio.gather(*(self._place(id, seen, tenant) for id in shown))
        there = [owned for owned in places if not owned.finished]
        more = shown and shown[-1] != mine[-1]
        return Page(there, len(mine), shown[-1] if more else None)

    async def _place(self, id: str, seen: Snapshot, tenant: str) -> OwnedJob:
        held = seen.held.get(id)
        if held is None:
            return self._waiting(id, seen, tenant)
        known = self._read.get(id)
        if known is not None and known[0] == held.etag:
            return known[1]
        found = await self.threads.run(in_progress, self.store, id)
        if found is None:
            # Finished since it was listed.
            return OwnedJob(JobView(id, State.FINISHED), tenant)
        self._read[id] = (held.etag, found)
        return found

    def _waiting(self, id: str, seen: Snapshot, tenant: str) -> OwnedJob:
        entry, owner = seen.waiting.get(id), seen.owners.get(id)
        view = JobView(id, State.WAITING, since=entry.last_modified if entry else None)
        key = entry.key if entry else self.job_listing.key_of(id)
        model = owner.model if owner else parse_inbox_key(key).model if key else None
        return OwnedJob(view, tenant, model, key)

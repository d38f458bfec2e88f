"""A tenant's jobs that wait or run, page by page."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.api.concurrency import Threads
from pipeline.api.listing_cache import Census, Snapshot
from pipeline.api.lookup import Lookup, Place, in_progress
from pipeline.contract.keys import parse_inbox_key
from pipeline.jobs.status import JobView, State
from pipeline.store.conditional import SafeStore

MOST = 100
"""Jobs on a page."""


@dataclass(frozen=True)
class Page:
    jobs: Sequence[Place]
    count: int
    next: str | None


@dataclass
class Listing:
    store: SafeStore
    census: Census
    lookup: Lookup
    threads: Threads
    max_age_s: float
    """Of the listing that is shown."""
    _read: dict[str, tuple[str, Place]] = field(default_factory=dict)
    """Id → ETag of its lease, and what that said: none is read twice."""

    async def page(self, tenant: str, after: str, limit: int) -> Page:
        seen = await self.census.look(since=self.census.some_time_ago(self.max_age_s))
        listed = {*self.census.just_posted(tenant), *seen.ids_of(tenant)}
        mine = sorted(id for id in listed if not self.lookup.is_over(id))
        shown = [id for id in mine if id > after][:limit]
        self._read = {id: read for id, read in self._read.items() if id in seen.held}
        places = await asyncio.gather(*(self._place(id, seen, tenant) for id in shown))
        there = [place for place in places if not place.finished]
        more = shown and shown[-1] != mine[-1]
        return Page(there, len(mine), shown[-1] if more else None)

    async def _place(self, id: str, seen: Snapshot, tenant: str) -> Place:
        held = seen.held.get(id)
        if held is None:
            return self._waiting(id, seen, tenant)
        known = self._read.get(id)
        if known is not None and known[0] == held.etag:
            return known[1]
        found = await self.threads.run(in_progress, self.store, id)
        if found is None:
            # Finished since it was listed.
            return Place(JobView(id, State.FINISHED), tenant)
        self._read[id] = (held.etag, found)
        return found

    def _waiting(self, id: str, seen: Snapshot, tenant: str) -> Place:
        entry, owner = seen.waiting.get(id), seen.owners.get(id)
        view = JobView(id, State.WAITING, since=entry.last_modified if entry else None)
        key = entry.key if entry else self.census.key_of(id)
        model = owner.model if owner else parse_inbox_key(key).model if key else None
        return Place(view, tenant, model, key)

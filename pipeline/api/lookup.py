"""Where a tenant's job is. Another tenant's is as unknown as none."""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from config.errors import InvalidId, UnknownJob
from pipeline.api.concurrency import Threads
from pipeline.api.listing_cache import Census
from pipeline.contract.keys import check_id, lease_key, manifest_key, parse_inbox_key
from pipeline.contract.lease import Lease
from pipeline.contract.summary import subject
from pipeline.jobs.status import JobView, State, leased, read_result
from pipeline.store.conditional import SafeStore

KEPT = 256
"""Results kept in memory; they never change."""
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Place:
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
    census: Census
    threads: Threads
    _results: OrderedDict[str, Place] = field(default_factory=OrderedDict)

    async def find(self, id: str, tenant: str) -> Place:
        """Raises UnknownJob."""
        try:
            place = await self._find(check_id(id))
        except InvalidId:
            place = None
        if place is None or place.tenant != tenant:
            raise UnknownJob(f"no job has the id {id}", field="id", value=id)
        return place

    def keep(self, place: Place) -> Place:
        """Remember a finished job."""
        if place.finished:
            self._results[place.view.id] = place
            self._results.move_to_end(place.view.id)
            while len(self._results) > KEPT:
                self._results.popitem(last=False)
        return place

    def is_over(self, id: str) -> bool:
        """As far as is known without asking; a listing may be older."""
        return id in self._results

    async def _find(self, id: str) -> Place | None:
        if id in self._results:
            return self.keep(self._results[id])
        place = await self.threads.run(result_or_lease, self.store, id)
        if place is None:
            place = await self._waiting(id)
        return None if place is None else self.keep(place)

    async def _waiting(self, id: str) -> Place | None:
        key = self.census.key_of(id)
        if key is None:
            # Another process may have taken it in a moment ago, so no older listing will do.
            seen = await self.census.look(since=self.census.monotonic())
            key = seen.waiting[id].key if id in seen.waiting else None
        if key is None:  # it may have gone forward between those readings
            return await self.threads.run(result_or_lease, self.store, id)
        name = parse_inbox_key(key)
        place = Place(JobView(id, State.WAITING), name.tenant, name.model, key)
        return place if name.tenant else await self.threads.run(_told_by_entry, self.store, place)


def result_or_lease(store: SafeStore, id: str) -> Place | None:
    return finished(store, id) or in_progress(store, id)


def finished(store: SafeStore, id: str) -> Place | None:
    done = read_result(store, id)
    return None if done is None else _ended(store, done)


def in_progress(store: SafeStore, id: str) -> Place | None:
    """By its lease, but the finished job where the lease only owes events."""
    stored = store.get(lease_key(id))
    if stored is None:
        return None
    lease = Lease.parse(stored.body)
    done = finished(store, id) if lease is not None and lease.committed else None
    if done is not None:
        return done
    view = leased(id, lease, stored.last_modified)
    place = Place(view, lease.tenant if lease else None, lease.model if lease else None)
    return place if place.tenant is not None else _told_by_manifest(store, place, lease)


def _ended(store: SafeStore, view: JobView) -> Place:
    result = view.result
    place = Place(view, result.tenant if result else None, result.model if result else None)
    return place if result is not None else _told_by_manifest(store, place, None)


def _told_by_manifest(store: SafeStore, place: Place, lease: Lease | None) -> Place:
    """A bare entry's lease does not say whose it is before a worker has it."""
    stored = store.get(manifest_key(place.view.id))
    if stored is None and lease is not None:
        stored = store.get(lease.entry)
    return place if stored is None else _told(place, stored.body)


def _told_by_entry(store: SafeStore, place: Place) -> Place | None:
    stored = store.get(place.entry or "")
    return None if stored is None else _told(place, stored.body)


def _told(place: Place, body: bytes) -> Place:
    about = subject(place.view.id, "", _NEVER, body)
    return replace(place, tenant=about.tenant, model=about.kind)

"""Waiting for jobs: all waiters of a process together cost one LIST a second.

While a waiter's job is not known to be taken, every third LIST is one of the inbox. These go
through the jobs that are waited for, a page at a time, as a job may be served before others that
stand before it. The other LISTs are of the leases. A job whose lease went, or that was in neither
listing, has its result read: once, as it only moves forward. A lease that changed is read where
somebody wants progress, and now and then for the others, since one whose events or callback are
owed stays behind its result. Once that was seen, every job in progress is looked at often, until
one has ended with its lease: whoever does not take events must not hold up those who wait for
pictures.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import structlog

from config.errors import RylaError, StoreError
from pipeline.api.concurrency import Threads
from pipeline.api.dependencies import Timeouts
from pipeline.api.lookup import Lookup, OwnedJob, finished, in_progress, result_or_lease
from pipeline.contract.keys import INBOX, LEASES, lease_id
from pipeline.contract.lease import says_ended
from pipeline.store.base import Entry, Page
from pipeline.store.conditional import SafeStore, listed

EVERY = 3
"""Which LIST is one of the inbox."""
BURST = 2
"""Looks that may follow each other at once after a pause: the first waiter gets both listings."""
PATIENT_LOOKS = 10
"""A lease that changed is read after so many looks where nobody wants progress."""
IMPATIENT_LOOKS = 2
"""Any job is, after so many, where leases stay behind their results."""
LONGEST_PAUSE = 32
"""Looks until a job that was found nowhere is looked for again, at most."""


@dataclass
class TrackedJob:
    """A job that is waited for. Lives on the event loop alone."""

    owned: OwnedJob
    entry: str | None
    """Its inbox key, while it is not known to be taken."""
    etag: str = ""
    """Of the lease that was read last."""
    leased: bool = False
    looks: int = 0
    """Since its lease was read."""
    misses: int = 0
    """Times in a row that it was found nowhere."""
    pause: int = 0
    """Looks to let pass, after it was found nowhere."""
    watchers: int = 0
    curious: int = 0
    """Watchers that want progress."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    """Nobody looks any more: the process ends."""
    failure: StoreError | None = None
    """Why nothing can be seen, where that is so for long."""

    def tell(self, owned: OwnedJob) -> None:
        self.failure = None
        self._say(owned)

    def fail(self, error: StoreError) -> None:
        """Whoever waits is told, and waits no longer."""
        self.failure = error
        self._say(self.owned)

    def _say(self, owned: OwnedJob) -> None:
        self.owned = owned
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(frozen=True)
class Watch:
    """One waiter's view of a job."""

    track: TrackedJob

    async def views(self, for_s: float) -> AsyncIterator[OwnedJob]:
        """The job now and at each change, until it is finished or `for_s` seconds are over.

        Raises StoreError where the store was away for Timeouts.store_away seconds meanwhile.
        """
        until = asyncio.get_running_loop().time() + for_s
        while True:
            changed, owned = self.track.changed, self.track.owned
            yield owned
            if owned.finished or self.track.closed:
                return
            try:
                async with asyncio.timeout_at(until):
                    await changed.wait()
            except TimeoutError:
                return
            if self.track.failure is not None:
                raise self.track.failure

    async def end(self, within_s: float) -> OwnedJob:
        """The job when it is finished or `within_s` seconds are over. Raises what `views` does."""
        async for _ in self.views(within_s):
            pass
        return self.track.owned


@dataclass
class JobWatcher:
    store: SafeStore
    threads: Threads
    lookup: Lookup
    timeouts: Timeouts
    closing: bool = False
    lagging: bool = False
    """Whether the lease of the job that ended last stayed behind its result."""
    _tracks: dict[str, TrackedJob] = field(default_factory=dict)
    _task: "asyncio.Task[None] | None" = None
    _turn: int = 0
    _listed_to: str = ""
    """The key up to which the inbox was listed last."""

    @asynccontextmanager
    async def watch(self, owned: OwnedJob, *, progress: bool = False) -> AsyncIterator[Watch]:
        """The job followed. `owned` is what the caller has just seen of it; `progress` has its
        lease read whenever that changes."""
        id = owned.view.id
        track = self._tracks.setdefault(id, TrackedJob(owned, owned.entry, closed=self.closing))
        track.watchers += 1
        track.curious += progress
        if owned.finished and not track.owned.finished:
            track.tell(owned)
        self._wake()
        try:
            yield Watch(track)
        finally:
            track.watchers -= 1
            track.curious -= progress
            if not track.watchers:
                self._tracks.pop(id, None)

    def hear(self, owned: OwnedJob) -> None:
        """What this process itself has done to a job."""
        if (track := self._tracks.get(owned.view.id)) is not None:
            track.tell(owned)

    def close(self) -> None:
        """Every waiter gets what is known now."""
        self.closing = True
        for track in self._tracks.values():
            track.closed = True
            track.tell(track.owned)
        if self._task is not None:
            self._task.cancel()

    @property
    def open_tracks(self) -> dict[str, TrackedJob]:
        return {id: track for id, track in self._tracks.items() if not track.owned.finished}

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        await asyncio.sleep(self.timeouts.first_look)
        loop = asyncio.get_running_loop()
        due = loop.time() - (BURST - 1) * self.timeouts.look
        self._turn = 0
        seen_at = loop.time()
        while self.open_tracks:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due, loop.time() - (BURST - 1) * self.timeouts.look) + self.timeouts.look
            try:
                await self._look()
                seen_at = loop.time()
            except StoreError as error:
                structlog.get_logger(__name__).warning("look_failed", code=error.code)
                if loop.time() - seen_at >= self.timeouts.store_away:
                    for track in self.open_tracks.values():
                        track.fail(error)
            except Exception:  # noqa: BLE001  a task's edge: all who wait depend on the next look
                structlog.get_logger(__name__).exception("look_broke")

    async def _look(self) -> None:
        unseen = [each for each in self.open_tracks.values() if each.entry and not each.leased]
        turn, self._turn = self._turn, self._turn + 1
        if unseen and turn % EVERY == 0:
            await self._look_at_inbox(unseen)
        else:
            await self._look_at_leases()

    async def _look_at_inbox(self, unseen: Iterable[TrackedJob]) -> None:
        entries = sorted(track.entry or "" for track in unseen)
        first = next((entry for entry in entries if entry > self._listed_to), entries[0])
        page: Page = await self.threads.run(self.store.list, INBOX, start_after=first[:-1])
        there = {entry.key for entry in page.entries}
        self._listed_to = page.entries[-1].key if page.truncated else ""
        for track in unseen:
            entry = track.entry or ""
            listed = first <= entry and (not page.truncated or entry <= self._listed_to)
            if listed and entry not in there:
                track.entry = None

    async def _look_at_leases(self) -> None:
        tracks = self.open_tracks  # those that come meanwhile may be younger than the listing
        gone = {id for id, track in tracks.items() if track.leased or track.entry is None}
        leases = await self.threads.run(_leases, self.store)
        wanted = [
            id
            for id, track in tracks.items()
            if _worth_reading(track, leases.get(id), lagging=self.lagging)
        ]
        wanted += [id for id in gone if id not in leases and _due(tracks[id])]
        await asyncio.gather(*(self._read(id, tracks[id], leases.get(id)) for id in wanted))

    async def _read(self, id: str, track: TrackedJob, lease: Entry | None) -> None:
        try:
            found = await self.threads.run(self._where(track, lease), self.store, id)
        except RylaError:
            return  # and again at the next look
        if found is None:
            track.misses += 1
            track.pause = min(2**track.misses, LONGEST_PAUSE)
            track.leased = False
            return
        if found.finished and (lease is None or not says_ended(lease.size)):
            self.lagging = lease is not None
        track.looks, track.etag = 0, lease.etag if lease else ""
        seen = replace(found, tenant=found.tenant or track.owned.tenant)
        track.tell(self.lookup.keep(seen))

    def _where(
        self, track: TrackedJob, lease: Entry | None
    ) -> Callable[[SafeStore, str], OwnedJob | None]:
        if lease is None:
            return finished
        if says_ended(lease.size):
            return result_or_lease
        # A lease says that its job has ended only once the events were tried.
        return in_progress if track.curious and not self.lagging else result_or_lease


def _leases(store: SafeStore) -> Mapping[str, Entry]:
    """By id, as listed."""
    entries = listed(store, LEASES)
    return {id: entry for entry in entries if (id := lease_id(entry.key)) is not None}


def _worth_reading(track: TrackedJob, lease: Entry | None, *, lagging: bool) -> bool:
    """Whether a listed lease is to be read now. Notes that it was seen."""
    if lease is None:
        return False
    track.leased, track.misses, track.pause = True, 0, 0
    track.looks += 1
    if lagging and track.looks > IMPATIENT_LOOKS:
        return True
    soon = track.curious > 0 or says_ended(lease.size) or track.looks > PATIENT_LOOKS
    return soon and lease.etag != track.etag


def _due(track: TrackedJob) -> bool:
    if track.pause:
        track.pause -= 1
        return False
    return True

"""Everything that the endpoints share, made once for an app."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from pipeline.api.auth import Doorman, Peer
from pipeline.api.concurrency import INTAKES, Threads
from pipeline.api.dependencies import Ports
from pipeline.api.errors import TooManyJobs
from pipeline.api.job_pages import Listing
from pipeline.api.listing_cache import Census
from pipeline.api.lookup import Lookup, Place, result_or_lease
from pipeline.api.rate_limit import Rate
from pipeline.api.submit import Clerk
from pipeline.api.watch import Hub

FULL_RETRY_S = 10


@dataclass(frozen=True)
class Service:
    ports: Ports
    doorman: Doorman
    rate: Rate
    threads: Threads
    intakes: Threads
    clerk: Clerk
    census: Census
    lookup: Lookup
    listing: Listing
    hub: Hub
    entering: Counter[str] = field(default_factory=Counter)
    """Jobs that are being taken in, by tenant."""

    @classmethod
    def of(cls, ports: Ports) -> Self:
        """Raises InvalidSetting."""
        settings, store, threads = ports.bench.settings, ports.store, Threads()
        census = Census(store, threads, ports.pace.census)
        lookup = Lookup(store, census, threads)
        return cls(
            ports=ports,
            doorman=Doorman.of(settings),
            rate=Rate(settings.api_requests_per_minute),
            threads=threads,
            intakes=Threads(INTAKES),
            clerk=Clerk(settings, ports.pictures),
            census=census,
            lookup=lookup,
            listing=Listing(store, census, lookup, threads, ports.pace.listing),
            hub=Hub(store, threads, lookup, ports.pace),
        )

    def admit(self, peer: Peer) -> str:
        """The tenant that asks. Raises NotAuthenticated, LoopbackOnly or TooManyRequests."""
        tenant = self.doorman.tenant(peer)
        self.rate.count(tenant)
        return tenant

    async def wait(self, place: Place, seconds: float) -> Place:
        """The job when it is finished or the time is over."""
        async with self.hub.watch(place) as watch:
            seen = await watch.end(seconds)
        return seen if seen.finished else await self.now(seen)

    async def now(self, seen: Place) -> Place:
        """As it stands, for one that was seen and may have gone forward."""
        found = await self.threads.run(result_or_lease, self.ports.store, seen.view.id)
        if found is None:
            return seen
        return self.lookup.keep(replace(found, tenant=found.tenant or seen.tenant))

    @asynccontextmanager
    async def room(self, tenant: str) -> AsyncIterator[None]:
        """For one job more, as long as it is taken in. Raises TooManyJobs."""
        most = self.ports.bench.settings.api_jobs_per_tenant
        there = await self.census.jobs_of(tenant)
        if there + self.entering[tenant] >= most:
            error = TooManyJobs(f"{most} jobs of {tenant} wait or run, and no more are taken")
            error.retry_after_s = FULL_RETRY_S
            raise error
        self.entering[tenant] += 1
        try:
            yield
        finally:
            self.entering[tenant] -= 1

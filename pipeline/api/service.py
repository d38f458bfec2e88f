"""Everything that the endpoints share, made once for an app."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from pipeline.api.auth import Authenticator, Peer, network_of
from pipeline.api.cancellation import api_canceller
from pipeline.api.concurrency import INTAKES, INTAKES_EACH, Threads
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.fair_places import FairPlaces
from pipeline.api.job_pages import JobPages
from pipeline.api.job_submission import SubmissionParser
from pipeline.api.listing_cache import JobListing
from pipeline.api.lookup import Lookup, OwnedJob, result_or_lease
from pipeline.api.memory import MemoryReturn
from pipeline.api.rate_limit import RateLimit
from pipeline.api.request_errors import NotAuthenticated, TooManyJobs
from pipeline.api.wait_reasons import WaitReasons
from pipeline.api.watch import JobWatcher
from pipeline.jobs.cancel import Canceller
from pipeline.loras.shared_loras import SharedLoras

FULL_RETRY_S = 10
WRONG_KEYS = 60
"""A minute, from one address."""
WRONG_KEYS_HINT = "Send a key that is known, or wait as long as Retry-After says."
"""Seconds until one of a tenant's jobs may well have ended."""


@dataclass(frozen=True)
class Service:
    dependencies: ApiDependencies
    authenticator: Authenticator
    rate: RateLimit
    wrong_keys: RateLimit
    """By whence they come. A right key is let in whatever came before it."""
    threads: Threads
    """For calls of the store."""
    intakes: FairPlaces
    """For bodies with pictures, of which few are read at a time."""
    parser: SubmissionParser
    loras: SharedLoras
    job_listing: JobListing
    lookup: Lookup
    listing: JobPages
    watcher: JobWatcher
    canceller: Canceller
    wait_reasons: WaitReasons
    memory: MemoryReturn = field(default_factory=MemoryReturn)
    entering: Counter[str] = field(default_factory=Counter)
    """Jobs that are being taken in, by tenant."""

    @classmethod
    def of(cls, dependencies: ApiDependencies) -> Self:
        """Raises InvalidSetting."""
        settings, store, threads = dependencies.runtime.settings, dependencies.store, Threads()
        job_listing = JobListing(store, threads, dependencies.timeouts.job_listing)
        lookup = Lookup(store, job_listing, threads)
        return cls(
            dependencies=dependencies,
            authenticator=Authenticator.of(settings),
            rate=RateLimit(settings.api_requests_per_minute),
            wrong_keys=RateLimit(WRONG_KEYS, "requests without a known key", WRONG_KEYS_HINT),
            threads=threads,
            intakes=FairPlaces(INTAKES, INTAKES_EACH),
            loras=SharedLoras(store, settings.lora_prefix),
            parser=SubmissionParser(settings, dependencies.images),
            job_listing=job_listing,
            lookup=lookup,
            listing=JobPages(store, job_listing, lookup, threads, dependencies.timeouts.listing),
            canceller=api_canceller(dependencies),
            wait_reasons=WaitReasons(store, threads),
            watcher=JobWatcher(store, threads, lookup, dependencies.timeouts),
        )

    def admit(self, peer: Peer) -> str:
        """The tenant that asks. Raises NotAuthenticated, LoopbackOnly or TooManyRequests."""
        try:
            tenant = self.authenticator.tenant(peer)
        except NotAuthenticated:
            self.wrong_keys.count(network_of(peer.address))
            raise
        self.rate.count(tenant)
        return tenant

    def close(self) -> None:
        """Every waiter gets what is known now."""
        self.watcher.close()
        self.dependencies.pictures.close()

    async def wait(self, owned: OwnedJob, seconds: float) -> OwnedJob:
        """The job when it is finished or `seconds` are over."""
        async with self.watcher.watch(owned) as watch:
            seen = await watch.end(seconds)
        return seen if seen.finished else await self.now(seen)

    async def now(self, seen: OwnedJob) -> OwnedJob:
        """As it stands, for one that was seen and may have gone forward."""
        found = await self.threads.run(result_or_lease, self.dependencies.store, seen.view.id)
        if found is None:
            return seen
        return self.lookup.keep(replace(found, tenant=found.tenant or seen.tenant))

    @asynccontextmanager
    async def room(self, tenant: str) -> AsyncIterator[None]:
        """For one job more, as long as it is taken in. Raises TooManyJobs."""
        most = self.dependencies.runtime.settings.api_jobs_per_tenant
        there = await self.job_listing.jobs_of(tenant)
        if there + self.entering[tenant] >= most:
            # Jobs that are over wait for PostHog or a receiver, which may be away for long.
            ended = await self.job_listing.ended_of(tenant)
            there = await self.job_listing.jobs_of(tenant) - ended
        if there + self.entering[tenant] >= most:
            error = TooManyJobs(f"{most} jobs of {tenant} wait or run, and no more are taken")
            error.retry_after_s = FULL_RETRY_S
            raise error
        self.entering[tenant] += 1
        try:
            yield
        finally:
            self.entering[tenant] -= 1

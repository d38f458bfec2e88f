"""One listing for all who need one."""

import asyncio

import pytest

from pipeline.api.concurrency import Threads
from pipeline.api.listing_cache import JobListing, Owner, take_snapshot
from pipeline.contract.keys import inbox_key, lease_key
from pipeline.contract.lease import Phase
from pipeline.store.base import Always, Busy
from tests.support.jobs import a_lease
from tests.support.manifests import body
from tests.support.pipeline_fixture import PipelineFixture

pytestmark = pytest.mark.anyio


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def key(id: str, tenant: str = "acme") -> str:
    return inbox_key(id, priority=5, tenant=tenant, model="flux-dev")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def job_listing(pipeline: PipelineFixture, clock: Clock) -> JobListing:
    return JobListing(pipeline.store, Threads(), 3.0, monotonic=clock)


def put(pipeline: PipelineFixture, id: str, tenant: str = "acme") -> str:
    pipeline.submit(id, b"{}", key=key(id, tenant))
    return key(id, tenant)


async def test_what_waits_and_runs_is_counted_by_tenant(
    pipeline: PipelineFixture, job_listing: JobListing
) -> None:
    for n in range(3):
        put(pipeline, f"a-{n}")
    put(pipeline, "z", "zenith")
    lease = a_lease(id="r", entry=key("r"), phase=Phase.RUNNING)
    pipeline.raw._store.put(lease_key("r"), lease.body(), Always())

    assert await job_listing.jobs_of("acme") == 4
    assert await job_listing.jobs_of("zenith") == 1
    assert await job_listing.jobs_of("nobody") == 0
    assert pipeline.raw.calls["LIST"] == 3


async def test_jobs_posted_since_count_at_once_and_never_twice(
    pipeline: PipelineFixture, job_listing: JobListing, clock: Clock
) -> None:
    assert await job_listing.jobs_of("acme") == 0
    job_listing.posted(put(pipeline, "one"))
    assert await job_listing.jobs_of("acme") == 1
    assert await job_listing.jobs_of("zenith") == 0
    assert job_listing.key_of("one") == key("one")

    clock.now += 1
    await job_listing.look(since=clock.now)
    assert await job_listing.jobs_of("acme") == 1
    assert job_listing.just_posted("acme") == set()
    assert job_listing.key_of("one") == key("one")


async def test_an_old_listing_serves_while_the_next_is_made(
    pipeline: PipelineFixture, job_listing: JobListing, clock: Clock
) -> None:
    await job_listing.jobs_of("acme")
    put(pipeline, "one")
    assert await job_listing.jobs_of("acme") == 0
    clock.now += 4

    assert await job_listing.jobs_of("acme") == 0
    assert job_listing._making is not None
    await job_listing._making
    assert await job_listing.jobs_of("acme") == 1


async def test_all_who_ask_at_once_share_a_listing(
    pipeline: PipelineFixture, job_listing: JobListing
) -> None:
    since = job_listing.monotonic()

    await asyncio.gather(*(job_listing.look(since) for _ in range(20)))

    assert pipeline.raw.calls["LIST"] == 3


async def test_a_listing_that_takes_long_is_used_longer(
    job_listing: JobListing, clock: Clock
) -> None:
    assert job_listing.some_time_ago(3) == 97.0
    job_listing._took_s = 2.0

    assert job_listing.some_time_ago(3) == 80.0


async def test_a_listing_that_fails_behind_somebody_s_back_is_tried_again(
    pipeline: PipelineFixture, job_listing: JobListing, clock: Clock
) -> None:
    await job_listing.jobs_of("acme")
    put(pipeline, "one")
    pipeline.raw.fail = lambda call, key: Busy("slow down")
    clock.now += 4
    assert await job_listing.jobs_of("acme") == 0
    assert job_listing._making is not None
    await asyncio.wait([job_listing._making])
    pipeline.raw.fail = lambda call, key: None

    assert await job_listing.jobs_of("acme") == 0
    await job_listing._making
    assert await job_listing.jobs_of("acme") == 1


def test_whose_a_bare_entry_is_stands_in_it_and_is_read_once(pipeline: PipelineFixture) -> None:
    pipeline.submit("bare", body(tenant="zenith"))
    first = take_snapshot(pipeline.store, 1.0, {})
    reads = pipeline.raw.calls["GET"]

    again = take_snapshot(pipeline.store, 2.0, first.owners)

    assert first.owners == again.owners == {"bare": Owner("zenith", "flux-dev")}
    assert first.count == {"zenith": 1}
    assert (reads, pipeline.raw.calls["GET"]) == (1, 1)


def test_the_lease_of_a_job_that_was_seen_waiting_need_not_be_read(
    pipeline: PipelineFixture,
) -> None:
    entry = put(pipeline, "one")
    first = take_snapshot(pipeline.store, 1.0, {})
    pipeline.store.delete(entry)
    pipeline.store.create(lease_key("one"), a_lease(id="one", entry=entry).body())

    second = take_snapshot(pipeline.store, 2.0, first.owners)

    assert second.count == {"acme": 1}
    assert pipeline.raw.calls["GET"] == 0


def test_what_is_nobodys_counts_for_nobody(pipeline: PipelineFixture) -> None:
    pipeline.submit("broken", b"{")
    pipeline.store.create("leases/odd.json", b"{")
    pipeline.store.create("inbox/a b.json", b"{")

    seen = take_snapshot(pipeline.store, 1.0, {})

    assert not seen.count
    assert set(seen.waiting) == {"broken"}


async def test_a_job_posted_while_a_listing_is_made_counts_once(
    pipeline: PipelineFixture,
    job_listing: JobListing,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def posted_just_before(*given: object) -> object:
        clock.now += 0.1
        job_listing.posted(put(pipeline, "one"))
        return take_snapshot(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("pipeline.api.listing_cache.take_snapshot", posted_just_before)
    await job_listing.look(since=clock.now)
    assert await job_listing.jobs_of("acme") == 1


async def test_jobs_that_are_over_are_told_from_those_that_wait_and_read_once(
    pipeline: PipelineFixture, job_listing: JobListing
) -> None:
    put(pipeline, "waits")
    for id, changes in (
        ("runs", {"phase": Phase.RUNNING}),
        ("again", {"phase": Phase.RETRY}),
        ("over", {"phase": Phase.RETRY, "committed": True}),
        ("gone", {"phase": Phase.RUNNING}),
    ):
        lease = a_lease(id=id, entry=key(id), **changes)
        pipeline.raw._store.put(lease_key(id), lease.body(), Always())
    assert await job_listing.jobs_of("acme") == 5
    pipeline.raw._store.delete(lease_key("gone"))
    pipeline.raw.calls.clear()

    assert await job_listing.ended_of("acme") == 2
    assert await job_listing.ended_of("zenith") == 0
    assert pipeline.raw.calls == {"GET": 4}
    assert await job_listing.ended_of("acme") == 2
    assert pipeline.raw.calls == {"GET": 4}


async def test_a_lease_that_changed_is_read_again(
    pipeline: PipelineFixture, job_listing: JobListing, clock: Clock
) -> None:
    for committed in (False, True):
        lease = a_lease(id="job", entry=key("job"), phase=Phase.RETRY, committed=committed)
        pipeline.raw._store.put(lease_key("job"), lease.body(), Always())
        clock.now += 1
        await job_listing.look(since=clock.now)
        assert await job_listing.ended_of("acme") == committed


async def test_a_job_that_was_cancelled_here_counts_no_more_though_its_lease_stays(
    pipeline: PipelineFixture, job_listing: JobListing, clock: Clock
) -> None:
    """Its events wait for PostHog, in the lease."""
    for n in range(3):
        put(pipeline, f"a-{n}")
    assert await job_listing.jobs_of("acme") == 3
    job_listing.posted(key("b"))
    job_listing.ended("a-0")
    job_listing.ended("b")

    assert await job_listing.jobs_of("acme") == 2
    clock.now += 10
    assert (await job_listing.look(since=clock.now)).count == {"acme": 2}
    assert set((await job_listing.look(since=clock.now)).ids_of("acme")) == {"a-1", "a-2"}


async def test_what_was_cancelled_is_forgotten_once_no_listing_shows_it(
    pipeline: PipelineFixture, job_listing: JobListing, clock: Clock
) -> None:
    put(pipeline, "a")
    await job_listing.jobs_of("acme")
    job_listing.ended("a")
    pipeline.raw._store.delete(key("a"))
    clock.now += 10
    await job_listing.look(since=clock.now)

    assert job_listing._cancelled == {}

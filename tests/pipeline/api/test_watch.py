"""What waiting costs, and what it never misses."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from config.errors import StoreError
from pipeline.api.dependencies import Timeouts
from pipeline.api.lookup import OwnedJob
from pipeline.contract.keys import inbox_key, lease_key, result_key
from pipeline.contract.lease import Phase, Progress
from pipeline.jobs.status import JobView, State
from pipeline.store.base import Always, Busy
from tests.pipeline.conftest import MakePipeline
from tests.support.api_fixture import ApiFixture
from tests.support.jobs import a_lease, a_result
from tests.support.pipeline_fixture import PipelineFixture

pytestmark = pytest.mark.anyio
BEAT = 0.02
PACE = Timeouts(look=BEAT, first_look=0.0)
ACME = {"tenant": "acme", "model": "flux-dev"}


class Waiters:
    """Jobs put by hand, and those who wait for them."""

    def __init__(self, pipeline: PipelineFixture, timeouts: Timeouts = PACE) -> None:
        self.api = ApiFixture(pipeline, timeouts)
        self.watcher = self.api.service.watcher
        self.raw = pipeline.raw
        self.objects = pipeline.raw._store

    def key(self, id: str, priority: int = 5) -> str:
        return inbox_key(id, priority=priority, **ACME)

    def submit(self, id: str, priority: int = 5) -> OwnedJob:
        self.objects.put(self.key(id, priority), b"{}", Always())
        return OwnedJob(JobView(id, State.WAITING), "acme", "flux-dev", self.key(id, priority))

    def lease(self, id: str, **fields: Any) -> None:
        lease = a_lease(id=id, entry=self.key(id), **fields)
        self.objects.put(lease_key(id), lease.body(), Always())
        self.objects.delete(self.key(id))

    def commit(self, id: str, *, lease_goes: bool = True) -> None:
        self.objects.put(result_key(id), a_result(id=id).body(), Always())
        self.objects.delete(self.key(id))
        if lease_goes:
            self.objects.delete(lease_key(id))

    async def wait(self, owned: OwnedJob, seconds: float = 10) -> OwnedJob:
        async with self.watcher.watch(owned) as watch:
            return await watch.end(seconds)

    async def looks(self, count: int) -> None:
        """So many LISTs go by."""
        before = self.raw.calls["LIST"]
        await self.api.until(lambda: self.raw.calls["LIST"] >= before + count)

    async def seen(self, id: str) -> None:
        """Until its lease was listed."""
        await self.api.until(lambda: (track := self.api.followed(id)) is not None and track.leased)


@pytest.fixture
async def waiters(pipeline: PipelineFixture) -> AsyncIterator[Waiters]:
    made = Waiters(pipeline)
    async with made.api:
        yield made


def started(*waits: Any) -> "list[asyncio.Task[OwnedJob]]":
    return [asyncio.ensure_future(wait) for wait in waits]


async def test_a_job_that_ends_before_those_that_stand_before_it_is_noticed(
    waiters: Waiters,
) -> None:
    """Between two looks, a page and more behind the first job that is waited for."""
    first = waiters.submit("a")
    for n in range(1500):
        waiters.submit(f"b-{n:04}")
    last = waiters.submit("z")
    waiting, passing = started(waiters.wait(first), waiters.wait(last))
    await waiters.looks(3)
    waiters.commit("z")
    assert (await passing).view.finished
    assert not waiting.done()
    waiters.commit("a")
    assert (await waiting).view.finished


async def test_two_hundred_waiters_cost_one_list_a_beat_and_one_get_a_job(
    waiters: Waiters,
) -> None:
    ids = [f"job-{n}" for n in range(200)]
    tasks = started(*(waiters.wait(waiters.submit(id)) for id in ids))
    await waiters.looks(3)
    for id in ids:
        waiters.lease(id, phase=Phase.RUNNING)
    loop = asyncio.get_running_loop()
    begun, before = loop.time(), waiters.raw.calls["LIST"]
    await waiters.looks(6)
    lists, beats = waiters.raw.calls["LIST"] - before, (loop.time() - begun) / BEAT
    for id in ids:
        waiters.commit(id)

    places = await asyncio.gather(*tasks)

    assert all(owned.finished for owned in places)
    assert lists <= beats + 2
    assert waiters.raw.calls["GET"] == 200
    assert set(waiters.raw.gets) == {result_key(id) for id in ids}


async def test_a_job_that_came_and_went_between_two_looks_is_found_by_one_get(
    waiters: Waiters,
) -> None:
    (task,) = started(waiters.wait(waiters.submit("job")))
    await waiters.looks(2)
    waiters.commit("job")

    assert (await task).finished
    assert waiters.raw.gets == [result_key("job")]


async def test_a_job_that_goes_on_waiting_is_never_read(waiters: Waiters) -> None:
    owned = await waiters.wait(waiters.submit("job"), BEAT * 8)

    assert owned.view.state is State.WAITING
    assert waiters.raw.calls["GET"] == 0
    assert waiters.raw.calls["LIST"] >= 3


async def test_those_far_back_in_a_long_queue_are_waited_for_too(waiters: Waiters) -> None:
    for n in range(1200):
        waiters.submit(f"other-{n:04}", priority=6)
    front, back = waiters.submit("front", priority=9), waiters.submit("job", priority=0)
    tasks = started(waiters.wait(front), waiters.wait(back))
    await waiters.looks(4)
    assert waiters.raw.calls["GET"] == 0
    for owned, task in zip((front, back), tasks, strict=True):
        waiters.objects.delete(owned.entry or "")
        waiters.commit(owned.view.id)

        assert (await task).finished


async def test_a_result_whose_events_are_owed_ends_the_wait_though_the_lease_stays(
    waiters: Waiters,
) -> None:
    owned = waiters.submit("job")
    waiters.lease("job", phase=Phase.RUNNING)
    (task,) = started(waiters.wait(owned))
    await waiters.seen("job")
    waiters.lease("job", phase=Phase.RETRY, committed=True, seq=1)
    waiters.commit("job", lease_goes=False)

    assert (await task).finished


async def test_a_cancel_by_another_process_is_heard_at_the_next_look(waiters: Waiters) -> None:
    ids = ("cancelled", "goes-on")
    cancelled, _ = started(*(waiters.wait(waiters.submit(id)) for id in ids))
    for id in ids:
        waiters.lease(id, phase=Phase.RUNNING)
        await waiters.seen(id)
    before = waiters.raw.calls["LIST"]
    waiters.commit("cancelled", lease_goes=False)
    waiters.lease("cancelled", phase=Phase.RETRY, committed=True, seq=1)  # a callback is owed
    waiters.lease("goes-on", phase=Phase.RUNNING, seq=1)  # renewed

    assert (await cancelled).finished
    # One that was under way, one that shows it, and one begun while the result was read.
    assert waiters.raw.calls["LIST"] - before <= 3
    assert waiters.raw.gets == [result_key("cancelled")]
    assert not waiters.watcher.lagging


async def test_only_the_first_waits_long_for_a_job_whose_events_nobody_takes(
    waiters: Waiters,
) -> None:
    looks = []
    for id in ("first", "second"):
        owned = waiters.submit(id)
        waiters.lease(id, phase=Phase.RUNNING)
        (task,) = started(waiters.wait(owned))
        await waiters.seen(id)
        before = waiters.raw.calls["LIST"]
        waiters.commit(id, lease_goes=False)
        assert (await task).finished
        looks.append(waiters.raw.calls["LIST"] - before)

    assert looks[1] < 6 < looks[0]


async def test_it_is_patient_again_once_a_job_has_ended_with_its_lease(waiters: Waiters) -> None:
    waiters.watcher.lagging = True
    ended, goes_on = waiters.submit("ended"), waiters.submit("goes-on")
    for owned in (ended, goes_on):
        waiters.lease(owned.view.id, phase=Phase.RUNNING)
    task, _ = started(waiters.wait(ended), waiters.wait(goes_on))
    await waiters.seen("ended")
    waiters.commit("ended")
    assert (await task).finished
    waiters.raw.gets.clear()

    await waiters.looks(6)

    assert waiters.raw.gets == []


async def test_progress_is_read_for_those_who_want_it_once_a_change(waiters: Waiters) -> None:
    owned = waiters.submit("job")
    async with waiters.watcher.watch(owned, progress=True) as one, waiters.watcher.watch(owned):
        waiters.lease("job", phase=Phase.RUNNING, progress=Progress(fraction=0.5))
        views = one.views(10)
        assert (await anext(views)).view.state is State.WAITING
        running = (await anext(views)).view
        await waiters.looks(4)

    assert running.lease is not None
    assert running.lease.progress == Progress(fraction=0.5)
    assert waiters.raw.gets == [lease_key("job")]


async def test_a_lease_that_a_stranger_deleted_is_looked_for_ever_more_rarely(
    waiters: Waiters,
) -> None:
    owned = waiters.submit("job")
    waiters.lease("job")
    (task,) = started(waiters.wait(owned))
    await waiters.seen("job")
    waiters.objects.delete(lease_key("job"))
    await waiters.looks(40)

    assert 1 <= waiters.raw.calls["GET"] <= 6
    waiters.commit("job")
    assert (await task).finished


async def test_a_store_that_is_away_for_a_while_ends_no_wait(waiters: Waiters) -> None:
    (task,) = started(waiters.wait(waiters.submit("job")))
    await waiters.looks(2)
    waiters.raw.fail = lambda call, key: Busy("slow down")
    await waiters.looks(6)
    waiters.commit("job")
    waiters.raw.fail = lambda call, key: None

    assert (await task).finished


async def test_a_store_that_stays_away_is_told_to_those_who_wait(
    make_pipeline: MakePipeline,
) -> None:
    waiters = Waiters(make_pipeline(), replace(PACE, store_away=BEAT * 5))
    (task,) = started(waiters.wait(waiters.submit("job")))
    await waiters.looks(2)
    waiters.raw.fail = lambda call, key: Busy("slow down")

    with pytest.raises(StoreError):
        await task
    waiters.raw.fail = lambda call, key: None
    (later,) = started(waiters.wait(waiters.submit("job")))
    waiters.commit("job")
    assert (await later).finished


async def test_nobody_waits_and_nothing_is_listed(waiters: Waiters) -> None:
    await waiters.wait(waiters.submit("job"), BEAT * 3)
    await waiters.api.until(
        lambda: waiters.watcher._task is not None and waiters.watcher._task.done()
    )
    before = waiters.raw.calls["LIST"]
    await asyncio.sleep(BEAT * 4)

    assert waiters.raw.calls["LIST"] == before
    assert not waiters.watcher._tracks


async def test_a_server_that_stops_lets_everybody_go(make_pipeline: MakePipeline) -> None:
    waiters = Waiters(make_pipeline())
    tasks = started(*(waiters.wait(waiters.submit(f"job-{n}")) for n in range(3)))
    await waiters.looks(1)
    waiters.watcher.close()

    places = await asyncio.wait_for(asyncio.gather(*tasks), 1)

    assert not any(owned.finished for owned in places)
    late = await asyncio.wait_for(waiters.wait(waiters.submit("late")), 1)
    assert not late.finished

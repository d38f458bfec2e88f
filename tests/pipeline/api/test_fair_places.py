import asyncio
from contextlib import AsyncExitStack

import pytest

from pipeline.api.fair_places import FairPlaces

pytestmark = pytest.mark.anyio


class Crowd:
    """Those who wait, and who was let in, in order."""

    def __init__(self, places: FairPlaces) -> None:
        self.places = places
        self.let_in: list[str] = []
        self.held: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        """A name is its tenant and a number."""
        for name in names:
            self.held[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._stay(name))
        await self.settle()

    async def leave(self, name: str) -> None:
        self.held[name].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _stay(self, name: str) -> None:
        async with self.places.place(name[0]):
            self.let_in.append(name)
            await self.held[name].wait()


@pytest.fixture
async def crowd() -> Crowd:
    return Crowd(FairPlaces(3, 2))


async def test_a_tenant_leaves_a_place_for_others(crowd: Crowd) -> None:
    await crowd.come("a1", "a2", "a3", "b1")

    assert crowd.let_in == ["a1", "a2", "b1"]
    for task in crowd.tasks.values():
        task.cancel()


async def test_who_has_fewest_is_let_in_first(crowd: Crowd) -> None:
    await crowd.come("a1", "a2", "b1", "a3", "b2", "c1")
    await crowd.leave("a1")
    await crowd.leave("a2")

    assert crowd.let_in == ["a1", "a2", "b1", "c1", "a3"]
    for task in crowd.tasks.values():
        task.cancel()


async def test_one_who_goes_while_waiting_takes_no_place(crowd: Crowd) -> None:
    await crowd.come("a1", "a2", "b1", "c1", "d1")
    crowd.tasks["c1"].cancel()
    await crowd.settle()
    await crowd.leave("a1")

    assert crowd.let_in == ["a1", "a2", "b1", "d1"]
    for task in crowd.tasks.values():
        task.cancel()
    await crowd.settle()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(crowd.places.place("z"))

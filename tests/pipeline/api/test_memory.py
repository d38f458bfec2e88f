import asyncio

import pytest

from pipeline.api import memory
from pipeline.api.memory import MemoryReturn

pytestmark = pytest.mark.anyio


async def test_many_bodies_are_given_back_at_once_and_later_ones_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times: list[None] = []
    monkeypatch.setattr(memory, "give_back", lambda: times.append(None))
    returning = MemoryReturn(after_s=0.01)
    for _ in range(5):
        returning.soon()
    assert times == []
    await asyncio.sleep(0.05)
    assert len(times) == 1
    returning.soon()
    await asyncio.sleep(0.05)
    assert len(times) == 2

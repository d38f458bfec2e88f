import asyncio
import time
from threading import Event

import pytest

from config.errors import StoreUnavailable
from pipeline.api.concurrency import PATIENCE_S, Threads

pytestmark = pytest.mark.anyio


async def test_a_call_comes_back_with_what_it_returns_or_raises() -> None:
    assert await Threads().run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await Threads().run(divmod, 7, 0)


async def test_a_call_that_hangs_is_told_as_a_store_that_does_not_answer() -> None:
    stuck = Event()
    threads = Threads(1, patience_s=0.05)

    try:
        with pytest.raises(StoreUnavailable, match=r"no answer of the store in 0\.05 s"):
            await threads.run(stuck.wait)
        assert await threads.run(divmod, 7, 2) == (3, 1)
    finally:
        stuck.set()


async def test_the_wait_for_a_turn_counts_too() -> None:
    begun = time.monotonic()
    stuck = Event()
    patient, hurried = Threads(1, patience_s=60), Threads(1, patience_s=0.05)
    hurried._limiter = patient._limiter
    holding = asyncio.create_task(patient.run(stuck.wait))
    await asyncio.sleep(0)
    try:
        with pytest.raises(StoreUnavailable):
            await hurried.run(divmod, 7, 2)
    finally:
        stuck.set()
        await holding
    assert time.monotonic() - begun < PATIENCE_S


def test_an_answer_comes_within_twenty_seconds() -> None:
    assert PATIENCE_S < 20

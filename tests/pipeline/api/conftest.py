from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.desk import Desk
from tests.support.yard import Yard

MakeDesk = Callable[..., Desk]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def desk(yard: Yard) -> AsyncIterator[Desk]:
    """Jobs run as soon as they are dispatched."""
    async with Desk(yard) as made:
        yield made


@pytest.fixture
async def idle_desk(holding: Yard) -> AsyncIterator[Desk]:
    """Jobs are claimed and wait for a worker that never comes."""
    async with Desk(holding) as made:
        yield made

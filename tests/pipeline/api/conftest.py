from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.api_fixture import ApiFixture
from tests.support.pipeline_fixture import PipelineFixture

MakeDesk = Callable[..., ApiFixture]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def api(pipeline: PipelineFixture) -> AsyncIterator[ApiFixture]:
    """Jobs run as soon as they are dispatched."""
    async with ApiFixture(pipeline) as made:
        yield made


@pytest.fixture
async def idle_desk(holding: PipelineFixture) -> AsyncIterator[ApiFixture]:
    """Jobs are claimed and wait for a worker that never comes."""
    async with ApiFixture(holding) as made:
        yield made

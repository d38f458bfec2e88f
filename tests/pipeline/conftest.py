from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.pipeline_fixture import PipelineFixture


class MakePipeline(Protocol):
    def __call__(self, **options: Any) -> PipelineFixture: ...


@pytest.fixture
def make_pipeline(tmp_path: Path) -> Iterator[MakePipeline]:
    yards: list[PipelineFixture] = []

    def make(**options: Any) -> PipelineFixture:
        yards.append(PipelineFixture(tmp_path=tmp_path, **options))
        return yards[-1]

    yield make
    for pipeline in yards:
        pipeline.close()


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> PipelineFixture:
    """Jobs run as they are spawned."""
    return make_pipeline()


@pytest.fixture
def holding(make_pipeline: MakePipeline) -> PipelineFixture:
    """Spawned jobs wait for a worker that never comes."""
    return make_pipeline(holding=True)

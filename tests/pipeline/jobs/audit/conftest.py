"""A bucket in which jobs have ended."""

import pytest

from config.errors import ComfyDied
from tests.pipeline.conftest import MakePipeline
from tests.support.instant_comfyui import InstantServer, failing
from tests.support.pipeline_fixture import PipelineFixture


@pytest.fixture
def ran(make_pipeline: MakePipeline) -> PipelineFixture:
    """Four jobs that have ended: one succeeded, one refused, one submitted twice, one retried."""
    pipeline = make_pipeline(server=InstantServer(failing(ComfyDied("gone"))))
    pipeline.submit("retried")
    pipeline.tick()
    for id in ("good", "refused", "twice"):
        pipeline.submit(id, b"{}" if id == "refused" else None)
    for _ in range(3):
        pipeline.tick()
        pipeline.pass_time(3600)
    pipeline.submit("twice")
    pipeline.tick()
    assert pipeline.keys("leases/") == pipeline.keys("inbox/") == []
    return pipeline

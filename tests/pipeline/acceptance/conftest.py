from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from pipeline.acceptance.http import Web
from pipeline.api.dependencies import ApiDependencies
from pipeline.api.server import listen, served, url_of
from tests.support.api_fixture import QUICK
from tests.support.pipeline_fixture import PipelineFixture


class Reach(Protocol):
    def __call__(self, pipeline: PipelineFixture, other: PipelineFixture | None = None) -> Web: ...


@pytest.fixture
def reach() -> Iterator[Reach]:
    """The HTTP API over a pipeline, or over the bucket of an `other`, whose dispatcher hears it."""
    with ExitStack() as parts:

        def reach(pipeline: PipelineFixture, other: PipelineFixture | None = None) -> Web:
            served_pipeline = other or pipeline

            def notify(_: str | None) -> None:
                served_pipeline.tick()

            listener = listen("127.0.0.1", 0)
            url = url_of(listener)
            ports = ApiDependencies(
                served_pipeline.runtime, served_pipeline.store, notify, timeouts=QUICK
            )
            parts.enter_context(served(ports, listener))
            return parts.enter_context(Web.at(url, None))

        yield reach

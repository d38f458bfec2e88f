"""An engine that starts the same input twice, as a platform may."""

import os
from collections.abc import Iterator

import pytest

from config.settings import Settings
from pipeline.contract.result import Status
from pipeline.engines.local import LocalEngine
from pipeline.queue.spawn import SpawnPayload
from pipeline.runtime import load_runtime
from pipeline.store.open import open_store
from tests.pipeline.worker.test_worker import spawned
from tests.support.manifests import body
from tests.support.stack import Bucket, quick, wait_until


@pytest.fixture
def settings(bucket: Settings) -> Settings:
    return quick(bucket, local_workers=2)


@pytest.fixture
def engine(settings: Settings) -> Iterator[LocalEngine]:
    engine = LocalEngine(settings, load_runtime(settings, "local").routes, os.environ)
    yield engine
    engine.close()


@pytest.mark.thorough
def test_an_input_that_runs_twice_ends_in_one_result(
    settings: Settings, engine: LocalEngine
) -> None:
    jobs = Bucket(open_store(settings))
    payload = spawned(jobs, "job-1", body("[[fault:slow=1]]", input={"steps": 10}))
    engine.submit("Flux", payload)
    engine.submit("Flux", payload)
    result = jobs.result("job-1")
    assert result.status is Status.SUCCEEDED
    folder = f"jobs/job-1/out/a{result.attempt}/"
    assert [output.key for output in result.outputs] == [f"{folder}image-0.png"]
    jobs.check_outputs(result)
    jobs.wait_settled()
    nothing_more(jobs, engine, payload)


def nothing_more(jobs: Bucket, engine: LocalEngine, payload: SpawnPayload) -> None:
    """Both workers have seen the input again, and left the finished job alone."""
    crew = engine._crews["Flux"]

    def idle() -> bool:
        return not crew._orders and crew._idle == 2

    assert wait_until(idle)  # the one that lost may have had a picture to store
    before = {key: jobs.read(key) for key in jobs.keys("jobs/")}
    engine.submit("Flux", payload)
    engine.submit("Flux", payload)
    assert wait_until(idle)
    assert {key: jobs.read(key) for key in jobs.keys("jobs/")} == before

"""Dispatchers killed by SIGKILL at the worst moments, on the real store. What they leave behind is
taken up by the next one, and each job ends in exactly one result."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.settings import Settings
from events.sender import Sender
from events.sink import MemorySink
from pipeline.contract.result import Status
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.tick import tick
from pipeline.local.seaweed import SeaweedServer
from pipeline.notify.delivery import ResultDelivery
from pipeline.runtime import load_runtime
from pipeline.store.open import open_store
from tests.support.dying_dispatcher import POINTS
from tests.support.instant_comfyui import InstantEngine, worker_context
from tests.support.manifests import body
from tests.support.seaweed import fresh_bucket
from tests.support.stack import Bucket, quick, wait_until

pytestmark = pytest.mark.xdist_group("sigkill")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def scenes(
    seaweed: SeaweedServer, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Settings]:
    """A bucket for each point, in which a dispatcher has died there."""
    scenes, dying = {}, {}
    for point in POINTS:
        bucket = fresh_bucket(seaweed, tmp_path_factory.mktemp(point))
        settings = quick(bucket, claim_seconds=1, spawned_seconds=1)
        Bucket(open_store(settings)).submit("job-1", "[[fault:slow=30@1]]")
        scenes[point] = settings
        dying[point] = subprocess.Popen(
            [sys.executable, "-m", "tests.support.dying_dispatcher", point],
            env=os.environ | settings.environ(),
            cwd=ROOT,
        )
    for point, process in dying.items():
        assert process.wait(60) == -signal.SIGKILL, point
    return scenes


LEFT_BEHIND = {
    "claimed": ["inbox/job-1.json", "leases/job-1.json"],
    "adopted": ["inbox/job-1.json", "jobs/job-1/manifest.json", "leases/job-1.json"],
    "spawned": ["inbox/job-1.json", "jobs/job-1/manifest.json", "leases/job-1.json"],
    "executing": ["inbox/job-1.json", "jobs/job-1/manifest.json", "leases/job-1.json"],
    "dropped": ["jobs/job-1/manifest.json", "leases/job-1.json"],
}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=pytest.mark.thorough) if point == "executing" else point
        for point in POINTS
    ],
)
def test_what_a_killed_dispatcher_leaves_ends_in_one_result(
    scenes: Mapping[str, Settings], point: str
) -> None:
    settings = scenes[point]
    bucket = Bucket(open_store(settings))
    # The worker outlives its parent by the moment in which it hands its job back.
    there = bucket.keys()
    assert [key for key in there if not key.endswith("/metrics.json")] == LEFT_BEHIND[point]

    runtime, sink = load_runtime(settings, "local"), MemorySink()
    sender, pool = Sender(sink), ThreadPoolExecutor(2)
    engine = InstantEngine(
        worker_context(bucket.store, ResultDelivery(bucket.store, sender, settings), runtime)
    )
    survivor = Dispatcher(bucket.store, engine, sender, runtime, pool, "survivor")

    def over() -> bool:
        tick(survivor)
        return bool(bucket.find_result("job-1")) and not bucket.keys("leases/")

    assert wait_until(over), bucket.keys()
    tick(survivor)
    result = bucket.result("job-1")
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    assert bucket.keys("inbox/") == bucket.keys("leases/") == bucket.keys("rejected/") == []
    assert bucket.read("jobs/job-1/manifest.json") == body("[[fault:slow=30@1]]")
    assert len(engine.endings) == 1
    bucket.check_outputs(result)
    names = [event.event for event in sink.events]
    assert names.count("modal_flux_dev_generation_completed") == 1
    assert json.loads(bucket.read("jobs/job-1/result.json"))["id"] == "job-1"
    sender.close(5)
    pool.shutdown()

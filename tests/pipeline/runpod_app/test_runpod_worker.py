"""Workers in the real package's loop, fed by a loopback server that speaks its API."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("runpod", reason="`make runpod` brings it")

from config.routes import load_routes
from config.settings import Settings, changed
from pipeline.contract.lease import Phase
from pipeline.contract.result import Status
from pipeline.engines.runpod import RunpodEngine
from pipeline.queue.spawn import SpawnPayload
from pipeline.store.open import open_store
from tests.pipeline.worker.test_worker import spawned
from tests.support.manifests import body
from tests.support.runpod_plane import KEY, RunpodPlane, Sent, runpod_plane
from tests.support.stack import Bucket, quick, wait_until

pytestmark = pytest.mark.runpod

ENDPOINT = "abc123"
START_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def internet() -> None:
    """The package ends a worker that this address does not answer."""
    try:
        socket.create_connection(("8.8.8.8", 53), timeout=5).close()
    except OSError as error:
        pytest.skip(f"the runpod package needs 8.8.8.8:53, which does not answer here: {error}")


@pytest.fixture
def plane() -> Iterator[RunpodPlane]:
    with runpod_plane(ENDPOINT) as plane:
        yield plane


@pytest.fixture
def settings(bucket: Settings, plane: RunpodPlane) -> Settings:
    return changed(
        quick(bucket),
        runpod_url=plane.url,
        runpod_api_key=KEY,
        runpod_endpoints=f"Flux={ENDPOINT}",
        runpod_route="Flux",
        gpu="L40S",
        comfyui_dir=None,
    )


@pytest.fixture
def engine(settings: Settings) -> Iterator[RunpodEngine]:
    engine = RunpodEngine(settings, load_routes(settings.routes_file))
    yield engine
    engine.close()


@pytest.fixture
def jobs(settings: Settings) -> Bucket:
    return Bucket(open_store(settings))


@contextmanager
def worker(settings: Settings, plane: RunpodPlane, name: str) -> Iterator[subprocess.Popen[bytes]]:
    log = (settings.state_dir / f"{name}.log").open("wb")
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RYLA_")},
        **settings.environ(),
        **plane.environ(ENDPOINT, name),
    }
    command = [sys.executable, "-m", "pipeline.runpod_app.runpod_worker"]
    started = subprocess.Popen(
        command, env=environ, stdout=log, stderr=subprocess.STDOUT, process_group=0
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        with suppress(ProcessLookupError):  # the package's process for pings outlives a kill
            os.killpg(started.pid, signal.SIGKILL)
        log.close()


def log_of(settings: Settings, name: str) -> str:
    return Path(settings.state_dir / f"{name}.log").read_text(errors="replace")[-4000:]


def sent(plane: RunpodPlane, payload: SpawnPayload) -> Sent:
    return next(each for each in plane.sent.values() if each.input["id"] == payload.id)


SLOW = "[[fault:slow=4]]"


def test_a_job_is_taken_told_of_and_answered(
    settings: Settings, plane: RunpodPlane, engine: RunpodEngine, jobs: Bucket
) -> None:
    payload = spawned(jobs, "job-1", body(SLOW, input={"steps": 20}))
    call = engine.submit("Flux", payload)
    with worker(settings, plane, "w1"):
        result = jobs.result("job-1", START_S)
        assert wait_until(sent(plane, payload).results, 30), log_of(settings, "w1")
    assert result.status is Status.SUCCEEDED
    assert result.provenance is not None
    jobs.check_outputs(result)
    at = sent(plane, payload)
    assert call == f"{ENDPOINT}/{at.id}"
    assert at.results() == [{"output": {"id": "job-1", "ending": "committed"}}]
    assert any(0 <= told["fraction"] <= 1 for told in at.progress())
    assert {id for _, id in plane.pings} >= {at.id}, "pings name the running job"


def test_the_same_job_twice_ends_once(
    settings: Settings, plane: RunpodPlane, engine: RunpodEngine, jobs: Bucket
) -> None:
    payload = spawned(jobs, "job-1", body("a cat"))
    engine.submit("Flux", payload)
    at = sent(plane, payload)
    with worker(settings, plane, "w1"):
        result = jobs.result("job-1", START_S)
        plane.deliver_again(at.id)
        assert wait_until(lambda: len(at.results()) == 2, 30), log_of(settings, "w1")
    assert at.results()[1] == {"output": {"id": "job-1", "ending": "stale"}}
    assert result.attempt == 1


def test_a_killed_workers_job_goes_on_as_the_next_attempt_on_another(
    settings: Settings, plane: RunpodPlane, engine: RunpodEngine, jobs: Bucket
) -> None:
    payload = spawned(jobs, "job-1", body("[[fault:slow=8]]", input={"steps": 20}))
    engine.submit("Flux", payload)
    with worker(settings, plane, "w1") as first, worker(settings, plane, "w2") as second:
        jobs.wait_running("job-1", START_S)
        at = sent(plane, payload)
        (first if at.takers == ["w1"] else second).kill()
        plane.deliver_again(at.id)
        result = jobs.result("job-1", START_S)
        assert len(set(at.takers)) == 2
    assert (result.status, result.attempt) == (Status.SUCCEEDED, 2)
    assert result.cost is not None
    assert result.cost.upper_bound


def test_at_sigterm_the_running_job_is_handed_back_and_the_worker_ends(
    settings: Settings, plane: RunpodPlane, engine: RunpodEngine, jobs: Bucket
) -> None:
    payload = spawned(jobs, "job-1", body("[[fault:slow=30]]", input={"steps": 50}))
    engine.submit("Flux", payload)
    with worker(settings, plane, "w1") as process:
        jobs.wait_running("job-1", START_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log_of(settings, "w1")
    lease = jobs.lease("job-1")
    assert lease is not None
    assert (lease.phase, lease.failures) == (Phase.RETRY, 0)
    told = {"output": {"id": "job-1", "ending": "retry"}, "stopPod": True}
    assert sent(plane, payload).results() == [told]


def test_a_job_that_the_platform_stops_is_still_told_by_its_lease(
    settings: Settings, plane: RunpodPlane, engine: RunpodEngine, jobs: Bucket
) -> None:
    payload = spawned(jobs, "job-1", body(SLOW, input={"steps": 20}))
    call = engine.submit("Flux", payload)
    with worker(settings, plane, "w1"):
        jobs.wait_running("job-1", START_S)
        engine.cancel(call)
        assert jobs.result("job-1", START_S).status is Status.SUCCEEDED
        following = spawned(jobs, "job-2", body("a cat"))
        engine.submit("Flux", following)
        assert jobs.result("job-2", START_S).status is Status.SUCCEEDED, log_of(settings, "w1")

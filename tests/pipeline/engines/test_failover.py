"""Two platforms in earnest: dispatchers and workers are processes, the store is a real one. The
first platform fails in three ways while jobs come, and is used again each time."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from config.settings import Settings, changed
from pipeline.contract.result import Status
from pipeline.store.open import open_store
from tests.support.runpod_plane import KEY, RunpodPlane, runpod_plane
from tests.support.stack import Bucket, quick, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]

ENDPOINT = "abc123"
STANDIN = Path(__file__).parents[2] / "support/runpod_standin"
ROUTES = """
[routes.Flux]
platforms = ["modal", "runpod"]
overflow_after_s = 4
down_after_s = 3
max_in_flight = 16
comfyui_flags = ["--allow-faults", "--step-seconds", "0"]
"""
BATCH = 25
"""Jobs of each of the four parts."""


class Platforms:
    def __init__(self, settings: Settings, modal: RunpodPlane, runpod: RunpodPlane) -> None:
        self.settings, self.modal, self.runpod = settings, modal, runpod
        self.jobs = Bucket(open_store(settings))
        self.sent = 0

    def submit(self, count: int) -> range:
        before = self.sent
        self.sent += count
        for number in range(before, self.sent):
            self.jobs.submit(f"job-{number}")
        return range(before, self.sent)

    def wait(self, numbers: range) -> None:
        """For the results, then for the platforms to hear of them: a worker says so afterwards."""
        for number in numbers:
            id = f"job-{number}"
            assert wait_until(partial(self.jobs.find_result, id), 60), self.jobs.lease(id)
            assert self.jobs.result(id).status is Status.SUCCEEDED
        assert wait_until(lambda: self.heard() >= numbers.stop, 60)

    def heard(self) -> int:
        return (self.ran_on(self.modal) + self.ran_on(self.runpod)).total()

    def ran_on(self, plane: RunpodPlane) -> Counter[str]:
        """Jobs that ended there, by how often."""
        return Counter(
            result["output"]["id"]
            for sent in list(plane.sent.values())
            for result in sent.results()
            if result["output"]["ending"] == "committed"
        )

    def comes_back(self) -> bool:
        """Whether a further job ends in the modal, within some probes."""
        before = self.ran_on(self.modal).total()

        def back() -> bool:
            self.wait(self.submit(1))
            return wait_until(lambda: self.ran_on(self.modal).total() > before, 1)

        return wait_until(back, 90)


@contextmanager
def process(
    settings: Settings, log: str, *command: str, **environ: str
) -> Iterator["subprocess.Popen[bytes]"]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("RYLA_")}
    given |= settings.environ() | environ
    with (settings.state_dir / f"{log}.log").open("wb") as file:
        started = subprocess.Popen(
            [sys.executable, "-m", *command], env=given, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


@pytest.fixture
def platforms(bucket: Settings) -> Iterator[Platforms]:
    quickly = quick(bucket)
    routes = quickly.state_dir / "routes.toml"
    routes.write_text(ROUTES)
    with ExitStack() as parts:
        modal, runpod = (parts.enter_context(runpod_plane(ENDPOINT)) for _ in range(2))
        settings = changed(
            quickly,
            runpod_api_key=KEY,
            runpod_endpoints=f"Flux={ENDPOINT}",
            runpod_route="Flux",
            gpu="none",
        )
        path = os.pathsep.join([str(STANDIN), os.environ.get("PYTHONPATH", "")])
        for name, plane in {"modal": modal, "runpod": runpod}.items():
            environ = {**plane.environ(ENDPOINT, name), "PYTHONPATH": path}
            worker = "pipeline.runpod_app.runpod_worker"
            parts.enter_context(process(settings, name, worker, **environ))
        yield Platforms(settings, modal, runpod)


@contextmanager
def dispatcher(platforms: Platforms, name: str) -> Iterator["subprocess.Popen[bytes]"]:
    urls = (platforms.modal.url, platforms.runpod.url)
    with process(platforms.settings, name, "tests.support.platforms_dispatcher", *urls) as started:
        yield started


def test_jobs_go_to_the_other_platform_and_come_back_by_themselves(platforms: Platforms) -> None:
    modal, runpod = platforms.modal, platforms.runpod
    with dispatcher(platforms, "one") as one, dispatcher(platforms, "two"):
        # Refusing, from the middle of a batch on.
        batch = platforms.submit(BATCH)
        assert wait_until(lambda: platforms.ran_on(modal).total() >= 5, 60)
        modal.refuses = 503
        platforms.wait(batch)
        assert platforms.ran_on(runpod).total() > 0
        before = platforms.ran_on(runpod).total()
        platforms.wait(platforms.submit(5))
        assert platforms.ran_on(runpod).total() == before + 5
        modal.refuses = None
        assert platforms.comes_back()

        # Mute: it takes what it is given, and starts nothing.
        batch = platforms.submit(BATCH)
        modal.mute = True
        platforms.wait(batch)
        mute = platforms.ran_on(modal).total()
        platforms.wait(platforms.submit(5))
        assert platforms.ran_on(modal).total() == mute
        modal.mute = False
        assert platforms.comes_back()

        # Its dispatcher is gone, and then its platform with it.
        batch = platforms.submit(BATCH)
        assert wait_until(lambda: platforms.jobs.find_result(f"job-{batch[3]}"), 60)
        one.send_signal(signal.SIGKILL)
        modal.refuses = 503
        platforms.wait(batch)
        modal.refuses = None
        assert platforms.comes_back()
        platforms.wait(platforms.submit(100 - platforms.sent if platforms.sent < 100 else 1))
        platforms.jobs.wait_settled(60)
    ran = platforms.ran_on(modal) + platforms.ran_on(runpod)
    assert set(ran.values()) == {1}, "each was committed once"
    assert len(ran) == platforms.sent >= 100
    for number in range(platforms.sent):
        result = platforms.jobs.result(f"job-{number}")
        platforms.jobs.check_outputs(result)

"""Several GPUs of one machine, and several machines on one bucket, with the stand-in."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from config.settings import Settings, changed
from pipeline.contract.result import Status
from pipeline.store.open import open_store
from tests.support.stack import Bucket, quick, running, wait_until

FAULTS_ON_BOTH = "".join(
    f"""
[routes.{route}]
comfyui_flags = ["--allow-faults", "--step-seconds", "0"]
"""
    for route in ("Flux", "ZImage")
)


def visible(pid: int) -> str | None:
    """What CUDA shows a process, by its environment."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    found = re.search(rb"(?:^|\0)CUDA_VISIBLE_DEVICES=([^\0]*)", environ)
    return found[1].decode() if found else None


def route_of(pid: int) -> str:
    """Of a worker, by its command line."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[words.index(b"pipeline.engines.local_worker") + 1].decode()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def comfyui_of(pid: int) -> set[str | None]:
    """What the processes below a worker see, its ComfyUI among them."""
    below = children(pid)
    return {visible(child) for child in below}.union(*map(comfyui_of, below))


def sees(pid: int, device: str | None) -> bool:
    return device in comfyui_of(pid)


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_a_small_route_runs_on_both_gpus_and_a_large_one_on_the_large_and_none_sees_another(
    bucket: Settings,
) -> None:
    """Of different size, as they are stated, with the stand-in."""
    settings = quick(bucket, gpus="0,3", gpu_memory_gib="24,80")
    settings.routes_file.write_text(FAULTS_ON_BOTH)  # type: ignore[union-attr]
    with running(settings) as stack:
        slow, input = "[[fault:slow=2]]", {"steps": 10}
        for number in range(4):
            stack.submit(f"large-{number}", slow, input=input)
            stack.submit(f"small-{number}", slow, model="z-image-turbo", input=input)
        assert wait_until(lambda: len(stack.engine.pids()) == 3, 60)
        found = sorted((route_of(pid), visible(pid)) for pid in stack.engine.pids())
        assert found == [("Flux", "3"), ("ZImage", "0"), ("ZImage", "3")]
        for pid in stack.engine.pids():
            own = visible(pid)
            assert wait_until(partial(sees, pid, own), 30)
            assert comfyui_of(pid) <= {own, None}
        for number in range(4):
            for size in ("large", "small"):
                assert stack.result(f"{size}-{number}", 60).status is Status.SUCCEEDED
        assert len(stack.engine.pids()) == 3, "one a GPU and route, however much waits"


@contextmanager
def host(settings: Settings, folder: Path) -> Iterator[Path]:
    """A machine: a dispatcher with its workers, in a folder of its own."""
    folder.mkdir()
    own = changed(settings, state_dir=folder, log_level="info")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RYLA_")}
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "dispatch"]
    with (folder / "dispatch.log").open("wb") as log:
        started = subprocess.Popen(
            command, env=environ | own.environ(), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield folder
        finally:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def executed(folder: Path) -> set[str]:
    logs = (each.read_text(errors="replace") for each in folder.rglob("worker.log"))
    return {id for log in logs for id in re.findall(r"executed .*committed.*job=(job-\d+)", log)}


@pytest.mark.thorough
def test_several_machines_on_one_bucket_are_one_system(bucket: Settings, tmp_path: Path) -> None:
    settings = quick(bucket)
    jobs = Bucket(open_store(settings))
    with ExitStack() as parts:
        hosts = [parts.enter_context(host(settings, tmp_path / name)) for name in ("a", "b")]
        ids = {f"job-{number}" for number in range(20)}
        for id in sorted(ids):
            jobs.submit(id, "[[fault:slow=0.3]]")
        for id in sorted(ids):
            result = jobs.result(id, 90)
            assert (result.status, result.attempt) == (Status.SUCCEEDED, 1)
            jobs.check_outputs(result)
        jobs.wait_settled()
    one, other = map(executed, hosts)
    assert one
    assert other
    assert one | other == ids
    assert not one & other, "each job on one of them"

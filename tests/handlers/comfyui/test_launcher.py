"""ComfyProcess with forks, on what of ComfyUI the launcher touches, with a torch of a few lines."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import ComfyStartFailed
from handlers.comfyui.process import ComfyProcess
from tests.support.processes import is_alive, wait_until

HOME = Path(__file__).parents[2] / "support/forking_comfyui"


def comfy(tmp_path: Path, mode: str = "well", **options: Any) -> ComfyProcess:
    settings: dict[str, Any] = {
        "environ": os.environ,
        "flags": ("--mode", mode),
        "ready_timeout_s": 20.0,
        "stop_grace_s": 0.3,
        "forks": True,
    }
    return ComfyProcess(HOME, work_dir=tmp_path / "comfy", **(settings | options))


def parent_of(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def kill(process: ComfyProcess, number: signal.Signals = signal.SIGKILL) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)
    assert wait_until(lambda: not process.running)


def test_a_start_is_a_fork_of_what_was_imported_and_so_is_each_restart(tmp_path: Path) -> None:
    with comfy(tmp_path) as process:
        launcher, url, first = parent_of(process.pid), process.url, process.pid
        for _ in range(3):
            kill(process)
            process.ensure_running()
            assert process.running
            assert parent_of(process.pid) == launcher
        assert process.url == url
        assert process.pid != first
    assert wait_until(lambda: not is_alive(launcher))
    assert not process.running
    assert process.pid is None


def test_a_hung_server_is_ended_before_the_next_is_forked(tmp_path: Path) -> None:
    with comfy(tmp_path, answer_timeout_s=0.2) as process:
        launcher, hung = parent_of(process.pid), process.pid
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)
        process.ensure_running()
        assert process.pid != hung
        assert parent_of(process.pid) == launcher
        assert not is_alive(hung)


def test_the_import_can_be_made_before_and_sees_no_gpu_that_the_fork_sees(tmp_path: Path) -> None:
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": "7"}
    process = comfy(tmp_path, environ=environ)
    process.prepare()
    assert not process.running
    with process:
        assert process.running
        assert wait_until(lambda: "devices ['', '7'], shown" in process.log_tail())


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("fails", "RuntimeError: no kernel image is available"),
        ("touches", "torch has initialised CUDA"),
        ("unlike", "exit code 70"),
        ("ends", "exit code 1"),
    ],
)
def test_whatever_goes_wrong_is_said_and_a_plain_start_follows(
    tmp_path: Path, mode: str, why: str
) -> None:
    process = comfy(tmp_path, mode)
    with capture_logs() as logs:
        if mode in {"touches", "unlike"}:
            with process:
                assert parent_of(process.pid) == os.getpid()
        else:
            with pytest.raises(ComfyStartFailed):
                process.start()

    said = [line for line in logs if line["event"] == "comfyui_not_forked"]
    assert len(said) == 1
    assert why in said[0]["why"]
    assert said[0]["log_tail"]


def test_a_process_that_ends_with_all_its_forks_is_started_again(tmp_path: Path) -> None:
    with comfy(tmp_path) as process:
        launcher, fork = parent_of(process.pid), process.pid
        os.kill(launcher, signal.SIGKILL)
        assert wait_until(lambda: not process.running)
        process.ensure_running()
        assert parent_of(process.pid) != launcher
        assert fork is not None
        assert wait_until(lambda: not is_alive(fork))


def test_a_python_that_is_not_there_is_a_failed_start(tmp_path: Path) -> None:
    with pytest.raises(ComfyStartFailed, match="cannot be started"):
        comfy(tmp_path, python="/nowhere/python").start()


def test_the_arguments_of_an_import_cannot_be_changed_but_some_can(tmp_path: Path) -> None:
    with comfy(tmp_path) as process:
        launcher = process._launcher
        assert launcher is not None
        arguments = [*process._arguments()]
        at = arguments.index("--port") + 1

        arguments[at] = str(int(arguments[at]) + 1)
        assert launcher.failure_to_fork(arguments, 0.1) is None
        assert launcher.fork is not None

        assert launcher.failure_to_fork([*arguments, "--database-url", "elsewhere"], 0.1) is None
        assert wait_until(lambda: launcher.fork is None)
        assert launcher.ending == "exit code 70"
        assert any("another database_url" in line for line in process.log_tail())

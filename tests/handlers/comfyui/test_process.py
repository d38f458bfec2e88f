import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.errors import ComfyDied, ComfyStartFailed, ComfyTimeout
from config.routes import OF_WORKERS
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.environment import allowed
from handlers.comfyui.process import ComfyProcess
from handlers.comfyui.prompt import Waits
from tests.support.processes import is_alive, wait_until
from tests.support.recordings import recording

FAKE = Path(__file__).parents[2] / "support/fake_comfyui"
FLUX = recording("flux_new_seed")
SECRETS = {
    "RYLA_BUCKET": "s3cret",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "HF_TOKEN": "s3cret",
    "POSTHOG_API_KEY": "s3cret",
    "MODAL_TOKEN_SECRET": "s3cret",
    "NVIDIA_API_KEY": "s3cret",
    "TORCH_HUB_TOKEN": "s3cret",
    "PYTHONPATH": "s3cret",
    "SOMETHING_ELSE": "s3cret",
}


def comfy(tmp_path: Path, mode: str = "well", **options: Any) -> ComfyProcess:
    settings: dict[str, Any] = {
        "environ": os.environ,
        "flags": ("--mode", mode),
        "ready_timeout_s": 20.0,
        "answer_timeout_s": 1.0,
        "stop_grace_s": 0.3,
    }
    return ComfyProcess(FAKE, work_dir=tmp_path / "comfy", **(settings | options))


def seen(tmp_path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((tmp_path / "comfy/user/seen.json").read_text())
    return told


def test_it_starts_answers_and_stops(tmp_path: Path) -> None:
    with comfy(tmp_path) as process, ComfyClient(process.url) as client:
        assert client.system_stats()["system"]["comfyui_version"] == "0.8.0"
        assert process.running
        pid = process.pid
    assert not process.running
    assert pid is not None
    assert not is_alive(pid)


def test_it_runs_on_loopback_in_a_working_folder_of_its_own(tmp_path: Path) -> None:
    models = tmp_path / "models.yaml"
    with comfy(tmp_path, extra_model_paths=models) as process:
        argv = seen(tmp_path)["argv"]
        assert seen(tmp_path)["cwd"] == str(FAKE)
        assert process.output_folder == tmp_path / "comfy/output"
    argv.remove("--disable-metadata")
    pairs = dict(zip(argv[1::2], argv[2::2], strict=True))
    assert {*pairs, "--disable-metadata"} - {"--mode"} == OF_WORKERS
    assert pairs["--listen"] == "127.0.0.1"
    assert process.url.endswith(":" + pairs["--port"])
    assert pairs["--output-directory"] == str(tmp_path / "comfy/output")
    assert pairs["--extra-model-paths-config"] == str(models)
    assert "--base-directory" not in pairs  # it would move the models as well


def test_the_child_sees_no_setting_and_no_secret_of_ours(tmp_path: Path) -> None:
    environ = {**os.environ, **SECRETS, "CUDA_VISIBLE_DEVICES": "0", "TORCH_HOME": "/cache"}
    with comfy(tmp_path, environ=environ):
        child: Mapping[str, str] = seen(tmp_path)["environ"]
    assert not SECRETS.keys() & child.keys()
    assert "s3cret" not in child.values()
    assert child["PATH"] == os.environ["PATH"]
    assert child["CUDA_VISIBLE_DEVICES"] == "0"
    assert child["TORCH_HOME"] == "/cache"
    assert child.keys() <= allowed(environ).keys() | {"PYTHONUNBUFFERED", "LC_CTYPE"}


def test_a_child_that_exits_at_once_is_told_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ComfyStartFailed, match="exit code 1") as caught:
        comfy(tmp_path, "exit").start()
    assert caught.value.log_tail[-1] == "RuntimeError: no kernel image is available"


def test_the_error_is_told_and_not_the_advice_below_it(tmp_path: Path) -> None:
    with pytest.raises(ComfyStartFailed, match=r"exit code 1\): torch\.AcceleratorError: CUDA"):
        comfy(tmp_path, "exit-advised").start()


def test_of_a_progress_bar_only_the_last_state_is_kept_and_of_a_table_nothing(
    tmp_path: Path,
) -> None:
    with pytest.raises(ComfyStartFailed) as caught:
        comfy(tmp_path, "exit").start()
    assert caught.value.log_tail[:-1] == ("Total VRAM 24106 MB", " 20%|##")


def test_the_level_that_a_logged_error_begins_with_does_not_hide_it(tmp_path: Path) -> None:
    with pytest.raises(ComfyStartFailed, match=r"exit code 1\): \[ERROR\] RuntimeError: no GPU"):
        comfy(tmp_path, "exit-coloured").start()


@pytest.mark.parametrize("mode", ["hang", "nonsense"])
def test_a_child_that_never_gets_ready_is_stopped_and_told(tmp_path: Path, mode: str) -> None:
    process = comfy(tmp_path, mode, ready_timeout_s=1.5)
    with pytest.raises(ComfyStartFailed, match=r"within 1\.5 s") as caught:
        process.start()
    assert "Total VRAM 24106 MB" in caught.value.log_tail
    assert not process.running


@pytest.mark.parametrize("python", ["/nowhere/python", sys.executable])
def test_a_missing_python_or_main_py_is_a_failed_start(tmp_path: Path, python: str) -> None:
    process = ComfyProcess(tmp_path, work_dir=tmp_path / "comfy", environ=os.environ, python=python)
    with pytest.raises(ComfyStartFailed) as caught:
        process.start()
    assert "main.py" in f"{caught.value.hint} {caught.value.log_tail}"


def run_until_stalled(
    process: ComfyProcess, strike: Callable[[int], None], waits: Waits
) -> BaseException:
    """Run a prompt that stands still, then strike the child; what the client then raises."""
    pid = process.pid
    assert pid is not None
    with ComfyClient(process.url, waits=waits, log_tail=process.log_tail) as client:
        timer = threading.Timer(0.3, strike, [pid])
        timer.start()
        try:
            client.run(FLUX.graph, prompt_id="p", deadline_s=20)
        except (ComfyDied, ComfyTimeout) as error:
            return error
        finally:
            timer.join()
    raise AssertionError("the prompt ended")


def test_a_child_killed_in_the_middle_of_a_prompt_has_died_and_is_restarted(
    tmp_path: Path,
) -> None:
    with comfy(tmp_path) as process:
        url, pid = process.url, process.pid
        error = run_until_stalled(process, lambda pid: os.kill(pid, signal.SIGKILL), Waits())
        assert isinstance(error, ComfyDied)
        assert "To see the GUI go to: http://127.0.0.1" in error.log_tail
        assert wait_until(lambda: not process.running)
        process.ensure_running()
        assert process.running
        assert process.pid != pid
        assert process.url == url


@pytest.mark.thorough
def test_a_child_that_hangs_in_the_middle_of_a_prompt_is_a_timeout_and_is_replaced(
    tmp_path: Path,
) -> None:
    waits = Waits(poll_s=0.2, poll_reply_s=0.2, silence_s=0.6, stop_s=0.2)
    with comfy(tmp_path, answer_timeout_s=0.5) as process:
        error = run_until_stalled(process, lambda pid: os.kill(pid, signal.SIGSTOP), waits)
        assert isinstance(error, ComfyTimeout)
        assert error.log_tail
        pid = process.pid
        process.ensure_running()
        assert process.pid != pid


def test_ensure_running_leaves_a_healthy_child_alone(tmp_path: Path) -> None:
    with comfy(tmp_path) as process:
        pid = process.pid
        process.ensure_running()
        assert process.pid == pid


def test_a_child_that_does_not_come_back_has_died(tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    main.write_text(f"import runpy\nrunpy.run_path({str(FAKE / 'main.py')!r})\n")
    process = ComfyProcess(tmp_path, work_dir=tmp_path / "comfy", environ=os.environ)
    with process:
        main.write_text("raise SystemExit('disk full')")
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        assert wait_until(lambda: not process.running)
        with pytest.raises(ComfyDied, match="did not come back") as caught:
            process.ensure_running()
    assert caught.value.log_tail[-1] == "disk full"


def test_stop_also_ends_a_child_that_ignores_sigterm_and_its_helpers(tmp_path: Path) -> None:
    process = comfy(tmp_path, "stubborn")
    process.start()
    helper = int((tmp_path / "comfy/user/helper").read_text())
    assert is_alive(helper)
    process.stop()
    assert wait_until(lambda: not is_alive(helper))
    process.stop()  # twice does no harm


def test_the_child_ends_with_its_parent_even_if_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import os, time
from pathlib import Path
from handlers.comfyui.process import ComfyProcess
process = ComfyProcess(Path({str(FAKE)!r}), work_dir=Path({str(tmp_path)!r}), environ=os.environ)
process.start()
print(process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=FAKE.parents[2], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
        assert wait_until(lambda: not is_alive(child))

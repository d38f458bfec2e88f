import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from system import supervised_process
from system.backoff import Backoff
from system.supervised_process import SupervisedProcess
from tests.support.processes import is_alive, wait_until

ROOT = Path(__file__).parents[2]
QUICK = Backoff(0.01, 0.05)

STUBBORN = """
import signal, subprocess, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: Path("asked").touch())
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path("helper.new").write_text(str(helper.pid))
Path("helper.new").rename("helper")
while True: time.sleep(60)
"""
"""Notes that it was asked to end, goes on, and has a child of its own."""


class Child(SupervisedProcess):
    def __init__(self, folder: Path, code: str, **options: Any) -> None:
        given: dict[str, Any] = {"log": deque(maxlen=10), "grace_s": 5.0}
        super().__init__(cwd=folder, **(given | options))
        self.code = code

    def start(self) -> None:
        self.spawn([sys.executable, "-c", self.code])


def helper_of(folder: Path) -> int:
    assert wait_until((folder / "helper").exists)
    return int((folder / "helper").read_text())


def ended(child: SupervisedProcess) -> Callable[[], bool]:
    return lambda: not child.running


def test_a_stop_leaves_nothing_of_the_whole_group(tmp_path: Path) -> None:
    with Child(tmp_path, STUBBORN, grace_s=0.2) as child:
        pid, helper = child.pid, helper_of(tmp_path)
        assert pid is not None
        assert child.running
        assert os.getpgid(helper) == pid
    assert (tmp_path / "asked").exists()
    assert wait_until(lambda: not is_alive(pid) and not is_alive(helper))
    assert (child.running, child.pid) == (False, None)
    child.stop()  # twice does no harm


def test_a_stop_waits_no_longer_than_the_child_needs(tmp_path: Path) -> None:
    child = Child(tmp_path, "import time; time.sleep(60)", grace_s=60)
    child.start()
    child.stop()
    assert not child.running


def test_a_kill_asks_nobody(tmp_path: Path) -> None:
    child = Child(tmp_path, STUBBORN, grace_s=60)
    child.start()
    helper = helper_of(tmp_path)
    child.kill()
    assert wait_until(lambda: not is_alive(helper))
    assert not (tmp_path / "asked").exists()


def test_what_outlived_a_child_that_ended_by_itself_goes_with_the_next_stop(tmp_path: Path) -> None:
    child = Child(tmp_path, STUBBORN.replace("while True: time.sleep(60)", ""))
    child.start()
    assert wait_until(ended(child))
    helper = helper_of(tmp_path)
    assert is_alive(helper)
    child.stop()
    assert wait_until(lambda: not is_alive(helper))


def test_a_restart_is_another_process_and_nothing_of_the_first_is_left(tmp_path: Path) -> None:
    with Child(tmp_path, STUBBORN, grace_s=0.2) as child:
        first, helper = child.pid, helper_of(tmp_path)
        child.restart()
        assert child.running
        assert child.pid != first
        assert wait_until(lambda: not is_alive(helper))


def test_a_command_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    child = Child(tmp_path, "")
    with pytest.raises(FileNotFoundError):
        child.spawn(["/nowhere/python"])
    assert not child.running


def test_no_child_goes_on_without_its_guard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned: list[int] = []

    def no_guard(group: int, grace_s: int) -> None:
        spawned.append(group)
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(supervised_process, "_start_guard", no_guard)
    with pytest.raises(BlockingIOError):
        Child(tmp_path, "import time; time.sleep(60)").start()
    assert not is_alive(spawned[0])


def test_it_is_ready_when_it_answers(tmp_path: Path) -> None:
    with Child(tmp_path, STUBBORN, grace_s=0.2) as child:
        assert child.wait_ready(lambda _: (tmp_path / "helper").exists(), 10, QUICK) is None


def test_whoever_asks_is_told_how_long_the_answer_may_take(tmp_path: Path) -> None:
    told: list[float] = []

    def answers(left_s: float) -> bool:
        told.append(left_s)
        return False

    with Child(tmp_path, "import time; time.sleep(60)") as child:
        assert child.wait_ready(answers, 0.3, QUICK)
    assert 0 < min(told) < max(told) <= 0.3
    assert told == sorted(told, reverse=True)


def test_a_child_that_never_answers_was_not_ready_in_time(tmp_path: Path) -> None:
    with Child(tmp_path, "import time; time.sleep(60)") as child:
        assert child.wait_ready(lambda _: False, 0.2, QUICK) == "was not ready within 0.2 s"


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    ],
)
def test_a_child_that_ended_instead_says_how(tmp_path: Path, code: str, ending: str) -> None:
    with Child(tmp_path, code) as child:
        failure = child.wait_ready(lambda _: False, 10, QUICK)
    assert failure == f"ended before it was ready ({ending})"


def test_its_last_lines_are_kept_over_restarts(tmp_path: Path) -> None:
    code = "import sys; print('out'); print(' 1%\\r 2%\\r'); print(); sys.exit('err')"
    child = Child(tmp_path, code, log=deque(maxlen=4))
    for _ in range(2):
        child.start()
        assert wait_until(ended(child))
    assert child.log_tail() == ("err", "out", " 2%", "err")
    assert child.log_tail(1) == ("err",)
    child.stop()


def test_colours_are_taken_out_of_the_lines(tmp_path: Path) -> None:
    code = r"print('\x1b[1m\x1b[33m[WARNING]\x1b[0m \x1b[31mlow memory\x1b[0m\x1b[K')"
    with Child(tmp_path, code) as child:
        assert wait_until(ended(child))
        assert child.log_tail() == ("[WARNING] low memory",)


def test_a_line_that_is_not_worth_it_takes_no_place(tmp_path: Path) -> None:
    with Child(tmp_path, "print('| a'); print('b')", logged=lambda line: line[0] != "|") as child:
        assert wait_until(ended(child))
        assert child.log_tail() == ("b",)


def test_a_log_file_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child(tmp_path, "import sys; print('out'); sys.exit('err')", log=log)
    for _ in range(2):
        child.start()
        assert wait_until(ended(child))
    assert sorted(log.read_text().split()) == ["err", "err", "out", "out"]
    assert len(child.log_tail(3)) == 3
    child.stop()


def test_in_a_dialogue_only_stderr_is_logged(tmp_path: Path) -> None:
    child = Child(tmp_path, "", log=tmp_path / "log")
    code = "import sys; sys.stderr.write('note'); print(input()[::-1])"
    process = child.spawn([sys.executable, "-c", code], dialogue=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"abc\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"cba\n"
    assert wait_until(ended(child))
    assert child.log_tail() == ("note",)
    child.stop()
    assert process.stdin.closed
    assert process.stdout.closed


def test_it_gets_the_environment_and_the_descriptors_that_it_is_given(tmp_path: Path) -> None:
    child = Child(tmp_path, "", env={"ONLY": "this"})
    code = """
import os, sys
print(os.environ["ONLY"], "HOME" in os.environ, os.read(int(sys.argv[1]), 9))
"""
    ours, its = os.pipe()
    os.write(its, b"lock")
    child.spawn([sys.executable, "-c", code, str(ours)], pass_fds=(ours,))
    os.close(ours)
    os.close(its)
    assert wait_until(ended(child))
    assert child.log_tail() == ("this False b'lock'",)
    child.stop()


def test_what_it_is_shown_as_holds_nothing_of_the_environment(tmp_path: Path) -> None:
    assert "s3cret" not in repr(Child(tmp_path, "", env={"KEY": "s3cret"}))


PARENT = """
import sys, time
from pathlib import Path
from tests.system.test_supervised_process import STUBBORN, Child
child = Child(Path(sys.argv[1]), STUBBORN, orphan_grace_s=int(sys.argv[2]))
child.start()
print(child.pid, child._guard.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("grace_s", [0, 1])
def test_when_its_parent_is_killed_nothing_of_it_is_left(tmp_path: Path, grace_s: int) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), str(grace_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child, guard = map(int, parent.stdout.readline().split())
        helper = helper_of(tmp_path)
        parent.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not any(map(is_alive, (child, helper, guard))))
    assert (tmp_path / "asked").exists() or grace_s == 0, "it had the time to end well"


def test_the_guard_goes_as_soon_as_nothing_is_left_to_guard(tmp_path: Path) -> None:
    code = PARENT.replace("STUBBORN, o", "'import time; time.sleep(60)', o")
    command = [sys.executable, "-c", code, str(tmp_path), "60"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child, guard = map(int, parent.stdout.readline().split())
        parent.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not is_alive(child) and not is_alive(guard))

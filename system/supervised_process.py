"""A child process of which nothing is left when it is stopped, nor when this process is killed."""

import os
import re
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, Final, Self

from system.backoff import Backoff

_LINE_BYTES: Final = 4096

# Colours and the like, which some programs write into a pipe too: ESC [, parameters, a letter.
_TERMINAL_CODE: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")

# Its input ends when this process does, however it ends. Whoever stops the child ends it too.
_GUARD: Final = """
read -r line
kill -TERM "-$0"
waited=0
while [ "$waited" -lt "$1" ] && kill -0 "-$0"; do sleep 1; waited=$((waited + 1)); done
kill -KILL "-$0"
"""


@dataclass(kw_only=True, eq=False, repr=False)
class SupervisedProcess(ABC):
    """A child with all that it starts in turn: a process group, and a guard over it.

    `start` of a subclass spawns a command and waits until that is of use.
    """

    log: Path | deque[str]
    """A file that its output is appended to, or what takes its last lines, without colours."""
    logged: Callable[[str], bool] = bool
    """Which lines are worth a place among the last."""
    cwd: Path | None = None
    env: Mapping[str, str] | None = None
    grace_s: float
    """From SIGTERM to SIGKILL when it is stopped."""
    orphan_grace_s: int = 0
    """The same when this process is gone."""
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _guard: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _reader: Thread | None = field(default=None, init=False)

    @abstractmethod
    def start(self) -> None:
        """Spawn the command and wait until it is of use. A subclass says what it raises."""

    @property
    def pid(self) -> int | None:
        """Of the child that was started last, also when it has ended; None once it is stopped."""
        return None if (child := self._child) is None else child.pid

    @property
    def running(self) -> bool:
        return (child := self._child) is not None and child.poll() is None

    def log_tail(self, lines: int = 40) -> tuple[str, ...]:
        """The last lines of its output, of this start and earlier ones, the latest at the end. Of a
        file only the last 4000 characters are looked at."""
        if isinstance(self.log, Path):
            return tuple(self.log.read_text(errors="replace")[-4000:].splitlines()[-lines:])
        if self._reader is not None and not self.running:
            self._reader.join(timeout=0.5)  # its last words may still be on their way
        return tuple(self.log)[-lines:]

    def spawn(
        self, command: Sequence[str], *, pass_fds: Sequence[int] = (), dialogue: bool = False
    ) -> subprocess.Popen[bytes]:
        """Run a command in the place of an earlier one. Raises OSError.

        In a dialogue its stdin and stdout are pipes for the caller, and only its stderr is logged.
        """
        self.stop()
        with ExitStack() as opened:
            log: IO[bytes] | int = subprocess.PIPE
            if isinstance(self.log, Path):
                log = opened.enter_context(open(self.log, "ab"))
            self._child = child = subprocess.Popen(
                command,
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.PIPE if dialogue else subprocess.DEVNULL,
                stdout=subprocess.PIPE if dialogue else log,
                stderr=log if dialogue else subprocess.STDOUT,
                pass_fds=pass_fds,
                start_new_session=True,  # Ctrl-C is for this process alone
            )
        output = child.stderr if dialogue else child.stdout
        if output is not None:
            self._reader = Thread(target=self._read, args=(output,), daemon=True)
            self._reader.start()
        try:
            self._guard = _start_guard(child.pid, self.orphan_grace_s)
        except BaseException:
            self.kill()
            raise
        return child

    def wait_ready(
        self, answers: Callable[[float], bool], within_s: float, backoff: Backoff
    ) -> str | None:
        """What it did instead of getting ready; None when it `answers`, which is asked again and
        again, with the pauses of `backoff`, and told how many seconds are left."""
        until, pauses = time.monotonic() + within_s, backoff.pauses()
        while (left_s := until - time.monotonic()) > 0:
            if not self.running:
                return f"ended before it was ready ({self._ending()})"
            if answers(left_s):
                return None
            time.sleep(next(pauses))
        return f"was not ready within {within_s:g} s"

    def restart(self) -> None:
        """Raises what `start` raises."""
        self.stop()
        self.start()

    def terminate(self) -> None:
        """SIGTERM to the whole group. From any thread."""
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM to the whole group, SIGKILL after the grace."""
        self.terminate()
        if (child := self._child) is not None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(self.grace_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group. From any thread."""
        self._signal(signal.SIGKILL)  # also to what outlived its leader
        child, self._child = self._child, None
        if child is not None:
            child.wait()
            if child.stdin is not None:
                with suppress(OSError), child:
                    pass  # its pipes are closed
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()
        if self._reader is not None:
            self._reader.join(timeout=1.0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        if (child := self._child) is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, number)

    def _ending(self) -> str:
        code = 0 if self._child is None else self._child.returncode
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    def _read(self, output: IO[bytes]) -> None:
        assert isinstance(self.log, deque)
        with output:
            while line := output.readline(_LINE_BYTES):
                # A progress bar redraws one line with carriage returns: its last state is enough.
                text = _TERMINAL_CODE.sub("", line.decode(errors="replace"))
                text = text.rstrip().rsplit("\r", 1)[-1]
                if self.logged(text):
                    self.log.append(text)


def _start_guard(group: int, grace_s: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, str(group), str(grace_s)],
        env={},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

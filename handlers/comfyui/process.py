"""Starts ComfyUI's main.py on loopback, watches it, restarts it, and stops it for good.

With `forks` it is imported once by the launcher, and each start is a fork of that. Whatever goes
wrong there, a plain start follows, and the log says why.
"""

import math
import re
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from config.errors import ComfyDied, ComfyError, ComfyStartFailed
from handlers.comfyui.environment import allowed
from handlers.comfyui.launcher import Launcher, launcher_command
from handlers.comfyui.transport import Transport
from system.backoff import Backoff
from system.supervised_process import SupervisedProcess

_READY_BACKOFF: Final = Backoff(first_s=0.02, longest_s=0.25, factor=1.5)

# Out of memory, torch prints a table of its allocator that would push all else out of the tail.
_TABLE: Final = "|"

# How the line begins that names an error; torch writes lines of advice below it. ComfyUI 0.33 puts
# the level before what it logs.
_ERROR: Final = re.compile(r"(\[[A-Z]+\] )?[\w.]+(Error|Exception): ")
_ADVICE_LINES: Final = 10


class ComfyProcess(SupervisedProcess):
    """A server whose address stays the same across restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        work_dir: Path,
        environ: Mapping[str, str],
        python: str = sys.executable,
        flags: Sequence[str] = (),
        extra_model_paths: Path | None = None,
        ready_timeout_s: float = 180.0,
        answer_timeout_s: float = 10.0,
        stop_grace_s: float = 5.0,
        log_lines: int = 200,
        forks: bool = False,
    ) -> None:
        """`folder` holds main.py; what ComfyUI writes lies under `work_dir`. With `forks` starts
        are forks of one import, where that succeeds.

        Of `environ` the child gets only what environment.allowed lets through. `ready_timeout_s`
        bounds the start, `answer_timeout_s` the answer of one that runs, `stop_grace_s` the time
        from SIGTERM to SIGKILL; the last `log_lines` lines of output are kept.
        """
        super().__init__(
            log=deque(maxlen=log_lines),
            logged=lambda line: line[:1] not in ("", _TABLE),
            cwd=folder,
            env=allowed(environ) | {"PYTHONUNBUFFERED": "1"},
            grace_s=stop_grace_s,
        )
        self._folder = folder
        self._work_dir = work_dir.absolute()
        self._python = python
        self._flags = tuple(flags)
        self._extra_model_paths = extra_model_paths
        self._ready_timeout_s = ready_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._port = 0
        self._forks = forks
        self._launcher: Launcher | None = None
        """That which was spawned last, unless that was a plain ComfyUI."""

    @property
    def running(self) -> bool:
        return super().running and (self._launcher is None or self._launcher.fork is not None)

    @property
    def pid(self) -> int | None:
        launcher = self._launcher
        return super().pid if launcher is None else launcher.last_fork

    @property
    def url(self) -> str:
        """Valid from the first start on."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def input_folder(self) -> Path:
        return self._work_dir / "input"

    @property
    def output_folder(self) -> Path:
        return self._work_dir / "output"

    def start(self) -> None:
        """Start and wait until it answers. Raises ComfyStartFailed."""
        if self.running:
            return
        try:
            self._make_folders()
            if self._forked():
                return
            self.spawn([self._python, "main.py", *self._arguments()])
            failure = self.wait_ready(self._answers, self._ready_timeout_s, _READY_BACKOFF)
            if failure is not None:
                raise self._start_failed(f"ComfyUI {failure}")
        except OSError as error:
            raise ComfyStartFailed(
                f"ComfyUI cannot be started: {error}",
                hint=f"Is there a main.py in {self._folder}, and is {self._python} a Python?",
            ) from error
        except BaseException:
            self.stop()
            raise

    def prepare(self) -> None:
        """Import ComfyUI without a GPU, for `start` to fork from; nothing without `forks`."""
        if not self._forks or (self._launcher is not None and super().running):
            return
        self._make_folders()
        try:
            child = self.spawn(launcher_command(self._python, self._arguments()), dialogue=True)
            self._launcher = Launcher(child)
            failure = self._launcher.failure_to_import(self._ready_timeout_s)
        except OSError as error:
            failure = str(error)
        if failure is not None:
            self._give_up_forks(failure)

    def restart(self) -> None:
        if self._launcher is not None and super().running and self._launcher.end(self.grace_s):
            self.start()
        else:
            super().restart()

    def kill(self) -> None:
        super().kill()
        self._launcher = None

    def _forked(self) -> bool:
        """Whether it runs as a fork."""
        self.prepare()
        launcher = self._launcher
        if launcher is None:
            return False
        failure = launcher.failure_to_fork(self._arguments(), self.grace_s)
        failure = failure or self.wait_ready(self._answers, self._ready_timeout_s, _READY_BACKOFF)
        if failure is not None:
            self._give_up_forks(failure)
        return failure is None

    def _give_up_forks(self, failure: str) -> None:
        tail = self.log_tail()
        self.stop()
        self._forks = False
        structlog.get_logger(__name__).warning("comfyui_not_forked", why=failure, log_tail=tail)

    def _ending(self) -> str:
        return super()._ending() if self._launcher is None else self._launcher.ending

    def _make_folders(self) -> None:
        self._port = self._port or _free_port()
        for name in ("input", "output", "user"):
            (self._work_dir / name).mkdir(parents=True, exist_ok=True)

    def ensure_running(self) -> None:
        """Between prompts: if it died or no longer answers, restart it once.

        Raises ComfyDied when it does not come back.
        """
        if self.running and self._answers():
            return
        try:
            self.restart()
        except ComfyStartFailed as error:
            raise ComfyDied(
                f"ComfyUI died and did not come back: {error.message}",
                hint=error.hint,
                log_tail=error.log_tail,
            ) from error

    def _arguments(self) -> Sequence[str]:
        """Of main.py."""
        folders = [
            argument
            for name in ("input", "output", "user")
            for argument in (f"--{name}-directory", str(self._work_dir / name))
        ]
        models = self._extra_model_paths
        return [
            *("--listen", "127.0.0.1"),
            *("--port", str(self._port)),
            *folders,
            *("--temp-directory", str(self._work_dir)),  # ComfyUI adds /temp and clears that
            *("--database-url", "sqlite:///:memory:"),  # else a file in ComfyUI's own folder
            *(("--extra-model-paths-config", str(models)) if models is not None else ()),
            "--disable-metadata",  # else the graph, prompt and all, stands in every file
            *self._flags,
        ]

    def _answers(self, within_s: float = math.inf) -> bool:
        wait = max(0.05, min(within_s, self._answer_timeout_s))
        with Transport(self.url, connect_s=wait, reply_s=wait) as transport:
            try:
                return "system" in transport.get_json("/system_stats")
            except ComfyError:
                return False

    def _start_failed(self, message: str) -> ComfyStartFailed:
        tail = self.log_tail()
        named = (line for line in reversed(tail[-_ADVICE_LINES:]) if _ERROR.match(line))
        last = next(named, tail[-1] if tail else "")
        return ComfyStartFailed(f"{message}: {last}" if last else message, log_tail=tail)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])

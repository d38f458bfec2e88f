"""Starts ComfyUI's main.py on loopback, watches it, restarts it, and stops it for good."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO, Final, Self

from config.errors import ComfyDied, ComfyError, ComfyStartFailed
from handlers.comfyui.environment import allowed
from handlers.comfyui.transport import Transport
from system.backoff import Backoff

_LINE_BYTES: Final = 4096
_READY_BACKOFF: Final = Backoff(first_s=0.02, longest_s=0.25, factor=1.5)

# Out of memory, torch prints a table of its allocator that would push all else out of the tail.
_TABLE: Final = "|"

# How the line begins that names an error; torch writes lines of advice below it.
_ERROR: Final = re.compile(r"[\w.]+(Error|Exception): ")
_ADVICE_LINES: Final = 10

# Ends when its input does, which is when we stop it or when our own process ends, however it ends.
_GUARD: Final = 'read -r line; kill -9 "-$0"'


class ComfyProcess:
    """One supervised server. Its address stays the same across restarts."""

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
    ) -> None:
        """`folder` holds main.py; what ComfyUI writes lies under `work_dir`.

        Of `environ` the child gets only what environment.allowed lets through.
        """
        self._folder = folder
        self._work_dir = work_dir.absolute()
        self._environ = allowed(environ) | {"PYTHONUNBUFFERED": "1"}
        self._python = python
        self._flags = tuple(flags)
        self._extra_model_paths = extra_model_paths
        self._ready_timeout_s = ready_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._stop_grace_s = stop_grace_s
        self._log: deque[str] = deque(maxlen=log_lines)
        self._port = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._reader: Thread | None = None

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

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def log_tail(self, lines: int = 40) -> tuple[str, ...]:
        """Its last lines of output, of this start and earlier ones."""
        if self._reader is not None and not self.running:
            self._reader.join(timeout=0.5)  # its last words may still be on their way
        return tuple(self._log)[-lines:]

    def start(self) -> None:
        """Start and wait until it answers. Raises ComfyStartFailed."""
        if self.running:
            return
        self.stop()
        self._port = self._port or _free_port()
        try:
            for name in ("input", "output", "user"):
                (self._work_dir / name).mkdir(parents=True, exist_ok=True)
            self._spawn()
            self._await_ready()
        except OSError as error:
            raise ComfyStartFailed(
                f"ComfyUI cannot be started: {error}",
                hint=f"Is there a main.py in {self._folder}, and is {self._python} a Python?",
            ) from error
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        """Raises ComfyStartFailed."""
        self.stop()
        self.start()

    def ensure_running(self) -> None:
        """Between prompts: if it died or no longer answers, restart it once.

        Raises ComfyDied when it does not come back.
        """
        if self.running and self._answers(self._answer_timeout_s):
            return
        try:
            self.restart()
        except ComfyStartFailed as error:
            raise ComfyDied(
                f"ComfyUI died and did not come back: {error.message}",
                hint=error.hint,
                log_tail=error.log_tail,
            ) from error

    def stop(self) -> None:
        """SIGTERM to its whole process group, SIGKILL after the grace."""
        child, self._child = self._child, None
        if child is not None:
            _signal_group(child.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(self._stop_grace_s)
            _signal_group(child.pid, signal.SIGKILL)  # also what outlived its leader
            child.wait()
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        if self._reader is not None:
            self._reader.join(timeout=1.0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self) -> None:
        self._child = child = subprocess.Popen(
            self._arguments(),
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(child.pid)],
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert child.stdout is not None
        self._reader = Thread(target=_drain, args=(child.stdout, self._log), daemon=True)
        self._reader.start()

    def _arguments(self) -> Sequence[str]:
        folders = [
            argument
            for name in ("input", "output", "user")
            for argument in (f"--{name}-directory", str(self._work_dir / name))
        ]
        models = self._extra_model_paths
        return [
            self._python,
            "main.py",
            *("--listen", "127.0.0.1"),
            *("--port", str(self._port)),
            *folders,
            *("--temp-directory", str(self._work_dir)),  # ComfyUI adds /temp and clears that
            *("--database-url", "sqlite:///:memory:"),  # else a file in ComfyUI's own folder
            *(("--extra-model-paths-config", str(models)) if models is not None else ()),
            "--disable-metadata",  # else the graph, prompt and all, stands in every file
            *self._flags,
        ]

    def _await_ready(self) -> None:
        until, pauses = time.monotonic() + self._ready_timeout_s, _READY_BACKOFF.pauses()
        while time.monotonic() < until:
            if not self.running:
                raise self._start_failed(f"ComfyUI ended before it was ready ({self._ending()})")
            if self._answers(min(self._answer_timeout_s, until - time.monotonic())):
                return
            time.sleep(next(pauses))
        raise self._start_failed(f"ComfyUI was not ready within {self._ready_timeout_s:g} s")

    def _answers(self, within_s: float) -> bool:
        wait = max(within_s, 0.05)
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

    def _ending(self) -> str:
        code = self._child.poll() if self._child is not None else None
        if code is None or code >= 0:
            return f"exit code {code}"
        return f"killed by {signal.Signals(-code).name}"


def _drain(stream: IO[bytes], log: deque[str]) -> None:
    with stream:
        while line := stream.readline(_LINE_BYTES):
            # A progress bar redraws one line with carriage returns: its last state is enough.
            text = line.decode(errors="replace").rstrip().rsplit("\r", 1)[-1]
            if text and not text.startswith(_TABLE):
                log.append(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)

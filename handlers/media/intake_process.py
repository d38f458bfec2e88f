"""Pictures of strangers are decoded in a child process, one at a time.

A decoder is C code that reads hostile bytes. In a child it can be ended when it takes too long or
when nobody waits for it any more, it has a limit of memory of its own, and what it took is given
back when it ends. Small pictures follow each other in the same child.
"""

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Lock, Timer
from typing import Protocol, cast

from config.errors import InvalidInput
from handlers.media.intake_child import CPU_S, Stream, read_message, write_message
from handlers.media.submitted import require_bytes
from system.supervised_process import SupervisedProcess

WALL_S = 60.0
"""For one picture on a machine that is busy; the child's limit of CPU is lower."""
KEPT_BYTES = 64 * 2**20
"""A child that has more memory than this after an answer is ended."""


class PictureAbandoned(Exception):
    """Whoever sent the picture does not wait for it any more."""


class Intake(Protocol):
    """Extension and bytes of a submitted picture, as handlers/media/submitted.py has it."""

    def __call__(self, body: bytes) -> tuple[str, bytes]:
        """Raises InvalidInput, or PictureAbandoned."""


class Patience:
    """Of one who waits for pictures. Giving up, from any thread, ends what is done for them."""

    def __init__(self) -> None:
        self._over = False
        self._stop: Callable[[], None] | None = None
        self._lock = Lock()

    def give_up(self) -> None:
        with self._lock:
            self._over = True
            if self._stop is not None:
                self._stop()

    def begin(self, stop: Callable[[], None]) -> None:
        """`stop` ends what is done from now on. Raises PictureAbandoned."""
        with self._lock:
            if self._over:
                raise PictureAbandoned
            self._stop = stop

    def end(self) -> None:
        """Raises PictureAbandoned."""
        with self._lock:
            self._stop = None
            if self._over:
                raise PictureAbandoned


class Task(StrEnum):
    """What becomes of a picture, as the child names it."""

    INTAKE = "intake"
    THUMBNAIL = "thumbnail"


class _Child(SupervisedProcess):
    def __init__(self, task: Task) -> None:
        # Nothing of this process's environment, in which secrets are.
        path = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
        self._task = task
        super().__init__(log=deque(maxlen=20), grace_s=0.0, env={"PYTHONPATH": path})

    def start(self) -> None:
        self.spawn((sys.executable, "-m", "handlers.media.intake_child", self._task), dialogue=True)

    def ask(self, body: bytes) -> bytes | None:
        """None if it ended without an answer."""
        child = self._child
        assert child is not None
        with suppress(OSError, ValueError):
            write_message(cast(Stream, child.stdin), body)
            return read_message(cast(Stream, child.stdout))
        return None

    def end(self) -> None:
        """From any thread: whoever waits for its answer gets none."""
        self._signal(signal.SIGKILL)

    @property
    def resident_bytes(self) -> int:
        with suppress(OSError, ValueError, IndexError):
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf(
                "SC_PAGE_SIZE"
            )
        return 0


@dataclass(eq=False)
class IntakeProcess:
    """Starts its child at the first picture. From any thread; to be closed."""

    wall_s: float = WALL_S
    task: Task = Task.INTAKE
    _child: _Child = field(init=False)
    _turn: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._child = _Child(self.task)

    def intake(self, body: bytes, patience: Patience | None = None) -> tuple[str, bytes]:
        """Raises InvalidInput, or PictureAbandoned once the patience is over."""
        require_bytes(body)
        patience = patience or Patience()
        with self._turn:
            patience.begin(self._child.end)
            try:
                answer = self._answer(body)
            finally:
                patience.end()
        return _read(answer)

    def close(self) -> None:
        with self._turn:
            self._child.kill()

    def _answer(self, body: bytes) -> bytes | None:
        if not self._child.running:
            self._child.start()
        timer = Timer(self.wall_s, self._child.end)
        timer.start()
        try:
            answer = self._child.ask(body)
        finally:
            timer.cancel()
        if answer is None or self._child.resident_bytes > KEPT_BYTES:
            self._child.kill()
        return answer


def _read(answer: bytes | None) -> tuple[str, bytes]:
    if answer is None:
        raise InvalidInput(
            f"the picture takes more than the {CPU_S} s or the memory that a picture may take",
            hint="Scale it down, save it as PNG or JPEG, and send that.",
        )
    if answer.startswith(b"-"):
        said = json.loads(answer[1:])
        raise InvalidInput(said["message"], hint=said["hint"])
    extension, _, picture = answer[1:].partition(b"\n")
    return extension.decode(), picture

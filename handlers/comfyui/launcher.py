"""This side of the dialogue with the launcher, which imports ComfyUI once and forks servers.

The launcher itself is handlers/comfyui/node_pack/launcher/, run by ComfyUI's Python.
"""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final

from handlers.comfyui.node_folder import node_pack_folder

REPLY_S: Final = 10.0
"""How long a fork may take to be made: it is a copy of some page tables."""
_RUN: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from launcher.fork_server import main; main(sys.argv[1:])"
)


def launcher_command(python: str, arguments: Sequence[str]) -> list[str]:
    """Run in ComfyUI's folder, with the arguments of main.py."""
    return [python, "-c", _RUN, str(node_pack_folder()), *arguments]


class Launcher:
    """One launcher process. Whoever started it stops it."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        """`child` has pipes as its stdin and stdout."""
        self._child = child
        self._heard: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
        self._fork: int | None = None
        self._code: int | None = None
        self.last_fork: int | None = None
        """Process id of the latest fork, also when it has ended."""
        Thread(target=self._listen, name="launcher", daemon=True).start()

    @property
    def fork(self) -> int | None:
        """Process id of the fork that runs, if one does."""
        while (message := self._next(0.0)) is not None:
            self._note(message)
        return self._fork

    @property
    def ending(self) -> str:
        """How the latest fork ended."""
        return f"exit code {self._code}"

    def failure_to_import(self, within_s: float) -> str | None:
        """Wait for the import; None if it succeeded."""
        said = self._await({"imported", "failed"}, within_s)
        return None if "imported" in said else str(said.get("failed", "nothing was imported"))

    def failure_to_fork(self, arguments: Sequence[str], grace_s: float) -> str | None:
        """Fork a server, after ending an earlier one within `grace_s`; None if that succeeded."""
        self._ask(fork=[*arguments], grace_s=grace_s)
        said = self._await({"forked", "failed"}, grace_s + REPLY_S)
        return None if "forked" in said else str(said.get("failed", "the launcher does not answer"))

    def end(self, grace_s: float) -> bool:
        """End the fork and all that it started; False if the launcher does not say so."""
        if self.fork is None:
            return True
        self._ask(end=True, grace_s=grace_s)
        return "ended" in self._await({"ended"}, grace_s + REPLY_S)

    def _ask(self, **request: Any) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:
            pass  # it has ended: no answer comes

    def _await(self, kinds: set[str], within_s: float) -> Mapping[str, Any]:
        """The first message of one of these kinds; an empty one if none comes."""
        until = time.monotonic() + within_s
        while (left := until - time.monotonic()) > 0:
            message = self._next(left)
            if message is None or not message:
                break
            self._note(message)
            if kinds & message.keys():
                return message
        return {}

    def _next(self, within_s: float) -> Mapping[str, Any] | None:
        try:
            return self._heard.get(timeout=within_s) if within_s else self._heard.get_nowait()
        except Empty:
            return None

    def _note(self, message: Mapping[str, Any]) -> None:
        if "forked" in message:
            self._fork = self.last_fork = message["forked"]
        elif message.get("ended") == self._fork or not message:
            self._fork, self._code = None, message.get("code")

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._heard.put(json.loads(line))
        self._heard.put({})  # its end

"""A worker of this machine as its engine sees it: orders go to its stdin, replies come from its
stdout. The other end is local_worker.py."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from pipeline.queue.spawn import SpawnPayload
from system.supervised_process import SupervisedProcess

CLOSE_SECONDS = 30
"""How long a worker may take to hand its job back and let its events out."""


class WorkerProcess(SupervisedProcess):
    """One worker process: orders on its stdin, replies on its stdout, its log in a file."""

    def __init__(self, route: str, folder: Path, environ: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            log=folder / "worker.log",
            env=environ,
            grace_s=CLOSE_SECONDS,
            orphan_grace_s=CLOSE_SECONDS,
        )
        self._command = (sys.executable, "-m", "pipeline.engines.local_worker", route, str(folder))
        self._orders: IO[bytes]
        self._replies: IO[bytes]
        self.start_error: str | None = None
        """Why its ComfyUI did not start."""
        self.fit = True
        """Whether it takes a further order."""
        self.ending: str | None = None
        """Of the last order."""

    def start(self) -> None:
        child = self.spawn(self._command, dialogue=True)
        assert child.stdin is not None
        assert child.stdout is not None
        self._orders, self._replies = child.stdin, child.stdout

    def ready(self) -> bool:
        """Waits until it can take orders. False when it ended instead."""
        reply = self._reply()
        if reply is not None:
            self.start_error = reply.get("error")
        return reply is not None

    def execute(self, call_id: str, payload: SpawnPayload) -> bool:
        """Waits for the end of one job. False when the worker died."""
        line = {"call_id": call_id, "payload": payload.model_dump(mode="json")}
        try:
            self._orders.write(json.dumps(line).encode() + b"\n")
            self._orders.flush()
        except (OSError, ValueError):  # it died, or was killed by another thread
            return False
        reply = self._reply()
        self.fit = reply is not None and reply.get("fit", True)
        self.ending = None if reply is None else reply.get("ending")
        return reply is not None

    def _reply(self) -> dict[str, Any] | None:
        try:
            reply: dict[str, Any] = json.loads(self._replies.readline())
        except ValueError:
            return None
        return reply

"""`ryla sheets export` as it ends by SIGKILL, at one point after the other, and then once unharmed.

python -m tests.support.dying_export STRIDE TARGET ARGUMENT…      (settings in the environment)

Points are before and after each request to the bucket, and whatever it does to a file; every
STRIDE-th of them is died at. Prints a JSON line for each process: whether it died, and the sha256
of the file TARGET then, null where there is none.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline.cli import main as ryla
from pipeline.store.s3_http import Reply
from pipeline.store.s3_requests import Request, S3Requests

FILE_EVENTS = ("open", "os.rename", "os.remove", "os.truncate", "mmap.__new__", "fcntl.flock")
"""Of the interpreter's audit."""


def main(stride: int, target: Path, arguments: list[str]) -> None:
    sys.argv = ["ryla", *arguments]
    import_module("pipeline.cli.sheets")  # once for all processes: each is a fork of this one
    point, died = stride, True
    while died:
        died = run(point)
        body = target.read_bytes() if target.exists() else None
        sha256 = None if body is None else hashlib.sha256(body).hexdigest()
        print(json.dumps({"point": point, "died": died, "sha256": sha256}), flush=True)  # noqa: T201
        point += stride


def run(point: int) -> bool:
    """Whether it died. Nothing of it is printed."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        die_at(point)
        ryla()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def die_at(point: int) -> None:
    left = point

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_event(event: str, _: Any) -> None:
        if event in FILE_EVENTS:
            step()

    send: Callable[[S3Requests, Request], Reply] = S3Requests.send

    def watched(self: S3Requests, request: Request) -> Reply:
        step()
        reply = send(self, request)
        step()
        return reply

    setattr(S3Requests, "send", watched)  # noqa: B010  of this process alone
    sys.addaudithook(on_event)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])

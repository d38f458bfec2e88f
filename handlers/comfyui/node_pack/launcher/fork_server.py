"""The launcher's own loop: reads requests, forks, and tells what became of each fork.

Lines of JSON. On stdin `{"fork": [arguments], "grace_s": seconds}` and `{"end": true, "grace_s":
seconds}`; its input ending ends it. On stdout `{"imported": seconds}` or `{"failed": reason}` once,
then `{"forked": pid}` for each request and `{"ended": pid, "code": exit code}` for each fork.
"""

import asyncio
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .attachment import Statement, Unlike, attach, statements
from .hidden_gpu import HiddenGpu, traces
from .startup import StartedUp, UnknownMain, start_up

LOOK_S = 0.05
"""How often a fork is looked at."""
WAIT_S = 0.005
"""The same while it is being ended."""
UNLIKE_CODE = 70
"""A fork's exit code when it would not be as a plain start."""


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """`arguments` are those of main.py, which lies in the current folder."""
    began = time.monotonic()
    told = os.fdopen(os.dup(1), "w", buffering=1)
    asked = os.dup(0)
    os.dup2(2, 1)  # what ComfyUI prints is log
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.path[0] = os.getcwd()  # as for a script that lies there
    gpu = HiddenGpu()
    try:
        started = start_up(Path.cwd(), arguments)
        again = statements()
        if found := traces():
            raise RuntimeError("; ".join(found))
    except (Exception, SystemExit) as error:  # the edge: whatever it was, a plain start follows
        unknown = isinstance(error, UnknownMain | Unlike)
        logging.getLogger(__name__).error("not imported", exc_info=not unknown)
        told.write(json.dumps({"failed": f"{type(error).__name__}: {error}"}) + "\n")
        return
    told.write(json.dumps({"imported": time.monotonic() - began}) + "\n")
    ForkServer(Imported(started, again, gpu), asked, told).run()


@dataclass(frozen=True)
class Imported:
    """ComfyUI, ready to serve but for the GPU."""

    started: StartedUp
    again: Sequence[Statement]
    gpu: HiddenGpu


class ForkServer:
    def __init__(self, imported: Imported, asked: int, told: Any) -> None:
        self._imported = imported
        self._asked = asked
        self._told = told
        self._fork: int | None = None

    def run(self) -> None:
        """Until its input ends."""
        rest = b""
        while True:
            ready, _, _ = select.select([self._asked], [], [], LOOK_S)
            if ready:
                got = os.read(self._asked, 65536)
                if not got:
                    return self._end(0.0)
                *lines, rest = (rest + got).split(b"\n")
                for line in lines:
                    self._answer(json.loads(line))
            self._look()

    def _answer(self, request: dict[str, Any]) -> None:
        self._end(float(request["grace_s"]))
        if "fork" not in request:
            return
        if found := traces():  # a node pack's thread may have come upon CUDA since
            self._tell(failed="; ".join(found))
            return
        pid = os.fork()
        if pid == 0:
            self._become(request["fork"])
        self._fork = pid
        self._tell(forked=pid)

    def _become(self, argv: Sequence[str]) -> None:
        code = 1
        try:
            self._told.close()
            os.close(self._asked)
            code = serve(self._imported, argv)
        except BaseException:  # the edge: a fork must not go on in the launcher's loop
            logging.getLogger(__name__).exception("ComfyUI ended")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _look(self, flags: int = os.WNOHANG) -> None:
        """Tell of the fork if it has ended."""
        if self._fork is not None:
            pid, status = os.waitpid(self._fork, flags)
            if pid:
                self._fork = None
                self._tell(ended=pid, code=os.waitstatus_to_exitcode(status))

    def _end(self, grace_s: float) -> None:
        """End the fork, and what it started in turn."""
        if self._fork is None:
            return
        self._signal(signal.SIGTERM)
        until = time.monotonic() + grace_s
        while self._fork is not None and time.monotonic() < until:
            time.sleep(WAIT_S)
            self._look()
        self._signal(signal.SIGKILL)
        self._look(0)

    def _signal(self, number: signal.Signals) -> None:
        """To all of this process's group but itself."""
        own, group = os.getpid(), os.getpgid(0)
        for entry in Path("/proc").iterdir():
            with suppress(ValueError, ProcessLookupError, PermissionError):
                pid = int(entry.name)
                if pid != own and os.getpgid(pid) == group:
                    os.kill(pid, number)

    def _tell(self, **message: Any) -> None:
        self._told.write(json.dumps(message) + "\n")


def serve(imported: Imported, argv: Sequence[str]) -> int:
    """In the fork: what a plain start does from where the import stopped. Its exit code."""
    log, started = logging.getLogger(__name__), imported.started
    imported.gpu.show()
    try:
        attach(imported.again, argv, started.argv)
    except Unlike as error:
        log.error("This fork is not as a plain start: %s", error)
        return UNLIKE_CODE
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # else every fork draws the same
    threading.Thread(target=started.worker, args=started.worker_args, daemon=True).start()
    loop = asyncio.new_event_loop()  # the launcher's own would share its descriptors
    asyncio.set_event_loop(loop)
    started.server.loop = loop
    try:
        loop.run_until_complete(started.start_all())
    except KeyboardInterrupt:
        log.info("Stopped server")
    finally:
        started.main.asset_seeder.shutdown()
        started.main.cleanup_temp()
    return 0

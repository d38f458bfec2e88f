"""The real processes of a chaos run: a store, dispatchers with their workers, a PostHog."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from config.errors import StoreUnavailable
from config.settings import Settings
from pipeline.local.seaweed import SeaweedServer
from tests.support.posthog_receiver import Answer, PostHogReceiver
from tests.support.stack import ROUTES, SHORT

MAIN = "from pipeline.cli import main; main()"
BUCKET = "chaos"
WORKER, COMFYUI = "pipeline.engines.local_worker", "main.py"
"""A word of the command line of each."""


def ports(random: Random) -> list[int]:
    """Five for the store, below those that outgoing connections take: nothing else may sit on them
    while it is away."""
    while True:
        first = random.randrange(21_000, 22_500)
        chosen = [first + 2 * n for n in range(5)]
        if all(_is_free(port) and _is_free(port + 10_000) for port in chosen):
            return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def settings_for(store: SeaweedServer, posthog: PostHogReceiver, folder: Path) -> Settings:
    """Lives of seconds instead of minutes, and so many tries that events are never given up."""
    routes = folder / "routes.toml"
    routes.write_text(ROUTES)
    return Settings.model_validate(
        {
            **store.settings(BUCKET),
            **SHORT,
            "routes_file": routes,
            "state_dir": folder,
            "spawned_seconds": 6,
            "poll_active_seconds": 0.3,
            "poll_idle_seconds": 1,
            "max_attempts": 10,
            "posthog_api_key": "phc_chaos",
            "posthog_host": posthog.url,
            "posthog_timeout_seconds": 1,
            "event_tries": 1000,
        }
    )


class DispatcherProcess:
    """`ryla dispatch`, again and again."""

    def __init__(self, number: int, settings: Settings) -> None:
        self._number = number
        self._settings = settings
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []

    @property
    def pid(self) -> int | None:
        """None while it is down."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        self._starts += 1
        # A folder of its own: the workers of the one before may not have ended yet.
        folder = self._settings.state_dir / f"dispatcher-{self._number}-{self._starts}"
        folder.mkdir()
        settings = self._settings.model_copy(update={"state_dir": folder})
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", MAIN, "dispatch", "--json"],
                env={**plain_environ(), **settings.environ()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self._groups.append(self._process.pid)

    def start_if_down(self) -> None:
        if self._process is None:
            self.start()

    def stop(self) -> Callable[[], None]:
        """By SIGSTOP. What continues it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        return partial(self._process.send_signal, signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> subprocess.Popen[bytes]:
        """Ask it to end, and forget about it."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(signal.SIGCONT)
        process.terminate()
        return process

    def ended_by_itself(self) -> str | None:
        """The end of its log, if it has."""
        if self._process is None or self._process.poll() is None:
            return None
        self._process = None
        log = self._settings.state_dir / f"dispatcher-{self._number}-{self._starts}/log"
        return (log.read_text(errors="replace").splitlines() or ["(nothing)"])[-1]

    def sweep(self) -> None:
        """Kill it, and whatever is left of its workers."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._groups.clear()
        self.kill()


def plain_environ() -> dict[str, str]:
    return {name: it for name, it in os.environ.items() if not name.startswith("RYLA_")}


def descendants(pid: int, word: str) -> list[int]:
    """Processes below this one whose command line has this word, the youngest last."""
    below, found = {pid}, []
    for number, parent in sorted(_parents().items()):
        if parent in below:
            below.add(number)
            if word in command_line(number):
                found.append(number)
    return found


def _parents() -> dict[int, int]:
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            found[int(stat.parent.name)] = int(fields[1])
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


class Store(SeaweedServer):
    def revive(self) -> None:
        """At the same address, as soon as it can be had."""
        until = time.monotonic() + 20
        while not self.running:
            try:
                self.start()
            except StoreUnavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.3)


class PostHog(PostHogReceiver):
    """That can be away, and is at the same port afterwards."""

    def hang(self) -> None:
        self.answer = Answer(hangs=True)

    def fail(self) -> None:
        self.answer = Answer(500, b"broken")

    def recover(self) -> None:
        self.answer = Answer()
        self.stop()  # Those that hang break off.
        self.start()

    def deliveries(self) -> Counter[str]:
        """How often each event was taken, by uuid."""
        return Counter(event["uuid"] for event in self._taken())

    def names(self) -> dict[str, str]:
        """Of the events that were taken, by uuid."""
        return {event["uuid"]: event["event"] for event in self._taken()}

    def _taken(self) -> Iterator[dict[str, Any]]:
        for one in list(self.received):
            if one.answer.status == 200 and not one.answer.hangs:
                yield from one.batch

"""The pipeline that a reader of the docs has running, and the folder they stand in."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from config.settings import PREFIX, Settings
from pipeline.api.server import listen, url_of
from pipeline.dispatcher.tick import TickReport
from pipeline.local.stack import LocalStack
from tests.support.doc_blocks import ROOT

SETTINGS = Settings(poll_active_seconds=0.2, poll_idle_seconds=0.5, log_level="error")
SHOWN_URL = "http://127.0.0.1:8787"


class Gate:
    """Holds the dispatcher up between two ticks."""

    def __init__(self) -> None:
        self._open = Event()
        self._open.set()
        self._held = Event()

    def pass_through(self, _: TickReport) -> None:
        if not self._open.is_set():
            self._held.set()
            self._open.wait()

    @contextmanager
    def shut(self) -> Iterator[None]:
        self._held.clear()
        self._open.clear()
        try:
            assert self._held.wait(30)
            yield
        finally:
            self._open.set()


@dataclass(frozen=True)
class Up:
    """What `ryla up` made."""

    folder: Path
    url: str
    dispatching: Gate


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder, gate = tmp_path_factory.mktemp("reader"), Gate()
    environ = {name: it for name, it in os.environ.items() if not name.startswith(PREFIX)}
    listener = listen("127.0.0.1", 0)
    url = url_of(listener)
    with LocalStack(
        folder / ".ryla", SETTINGS, environ, on_tick=gate.pass_through, listener=listener
    ):
        for name in ("clients", "examples"):
            (folder / name).symlink_to(ROOT / name)
        yield Up(folder, url, gate)


@pytest.fixture
def reader(up: Up, monkeypatch: pytest.MonkeyPatch) -> Up:
    """In the checkout's folder, with its environment active and no setting."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RYLA_CLIENT_URL", up.url)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(up.folder)
    return up

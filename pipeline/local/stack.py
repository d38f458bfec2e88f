"""The whole pipeline on this machine, over one folder: store, engine with its workers, dispatcher.

<folder>/stack.json      settings for other `ryla` processes, while the stack runs
<folder>/lock            held while the stack runs
<folder>/store/          the embedded store: all that was ever submitted and made
<folder>/workers/        logs and working folders of the workers
<folder>/events.jsonl    events, unless PostHog takes them
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

import structlog

from config.errors import InvalidSetting, StoreUnavailable
from config.settings import Settings
from events.sender import Sender
from pipeline.api.concurrency import STORE_CALLS
from pipeline.contract.keys import INBOX, LEASES, lease_id
from pipeline.contract.lease import Lease, Phase
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.dispatcher.tick import Dispatcher, TickReport
from pipeline.engines.local import LocalEngine
from pipeline.jobs.status import inbox_id
from pipeline.local.seaweed import SeaweedServer, try_lock
from pipeline.notify.sinks import events_file, make_sink
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.conditional import SafeStore, Won, listed
from pipeline.store.open import open_checked_store

STACK_FILE = "stack.json"
LOCK_SECONDS = 0.5
DRAIN_SECONDS = 10.0
"""How long events may take to go out at the end; the rest is sent after the next start."""


class LocalStack:
    """A context manager. What it holds survives it: the next one over the folder goes on."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        on_tick: Callable[[TickReport], None] | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        """`settings` are taken as they are, but for the bucket, which is an embedded one. With a
        bound `listener`, the HTTP API is served there; it is closed at the end."""
        self.folder = folder.absolute()
        self.wakeup = Wakeup()
        """Rung for work that was just submitted, so that it is not left to the next poll."""
        self.settings: Settings
        self.store: SafeStore
        self.engine: LocalEngine
        self._wanted = settings
        self._environ = environ
        self._on_tick = on_tick
        self._listener = listener
        self._server = SeaweedServer(self.folder / "store")
        self._failure: Exception | None = None
        self._parts = ExitStack()

    def start(self) -> None:
        """Raises InvalidSetting when another stack runs over the folder, or a StoreError.

        Parts stop in the opposite order, also those that an error leaves behind here.
        """
        with ExitStack() as parts:
            parts.enter_context(_taken(self.folder))
            parts.enter_context(self._server)
            self._server.create_bucket(self._wanted.bucket)
            self.settings = self._resettled()
            runtime = load_runtime(self.settings, "local")
            self.store = open_checked_store(self.settings, STORE_CALLS)
            reclaim(self.store)
            if self._listener is not None:
                parts.enter_context(self._serving(runtime, self._listener))
            parts.enter_context(_published(self.folder, self.settings, self._listener))
            sender = Sender(make_sink(self.settings))
            parts.callback(sender.close, DRAIN_SECONDS)
            self.engine = LocalEngine(self.settings, runtime.routes, self._environ)
            parts.callback(self.engine.close)
            pool = parts.enter_context(ThreadPoolExecutor(self.settings.dispatch_threads))
            owner = f"local@{socket.gethostname()}:{os.getpid()}"
            dispatcher = Dispatcher(self.store, self.engine, sender, runtime, pool, owner)
            parts.enter_context(self._dispatching(dispatcher))
            self._parts = parts.pop_all()

    def stop(self) -> None:
        self._parts.close()

    def check(self) -> None:
        """Raises what ended the dispatcher, or StoreUnavailable when the store is gone."""
        if self._failure is not None:
            raise self._failure
        if not self._server.running:
            raise StoreUnavailable(
                "the embedded store ended",
                hint=f"Read {self.folder / 'store' / 'seaweedfs.log'}, then start again.",
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _resettled(self) -> Settings:
        own = self._server.settings(self._wanted.bucket)
        return changed(
            self._wanted,
            **own,
            region="us-east-1",
            addressing_style="auto",
            state_dir=self.folder,
            events_file=events_file(changed(self._wanted, state_dir=self.folder)).absolute(),
        )

    @contextmanager
    def _serving(self, runtime: RuntimeConfig, listener: socket.socket) -> Iterator[None]:
        from pipeline.api.dependencies import ApiDependencies  # noqa: PLC0415  of an extra that not all install
        from pipeline.api.server import served  # noqa: PLC0415

        with served(ApiDependencies(runtime, self.store, lambda _: self.wakeup.notify()), listener):
            yield

    @contextmanager
    def _dispatching(self, dispatcher: Dispatcher) -> Iterator[None]:
        thread = Thread(target=self._dispatch, args=(dispatcher,), name="dispatcher", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.wakeup.stop()
            thread.join()

    def _dispatch(self, dispatcher: Dispatcher) -> None:
        try:
            dispatch(dispatcher, self.wakeup, on_tick=self._on_tick)
        except Exception as error:  # noqa: BLE001  a thread's edge: check() raises it in the caller's
            self._failure = error


def changed(settings: Settings, **values: Any) -> Settings:
    """A copy with these fields set. Raises ValidationError for a value out of range."""
    return Settings.model_validate(settings.model_dump(exclude_unset=True) | values)


def read_stack(folder: Path) -> dict[str, str] | None:
    """The settings of the stack that runs over a folder, or None when none does."""
    try:
        if left_over(folder):
            return None
        values: dict[str, str] = json.loads((folder / STACK_FILE).read_text())
    except FileNotFoundError:
        return None
    return values


def left_over(folder: Path) -> bool:
    """Whether the folder's stack was killed, so that nothing answers where its file says.

    Raises FileNotFoundError where no stack ever was.
    """
    with open(folder / "lock", "rb") as lock:
        return try_lock(lock.fileno())


@contextmanager
def _taken(folder: Path) -> Iterator[None]:
    """The folder, locked. Raises InvalidSetting when it is another's."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+b") as lock:
        if not _lock_within(lock.fileno(), LOCK_SECONDS):
            lock.seek(0)
            raise InvalidSetting(
                f"process {lock.read().decode() or '?'} runs the local pipeline over {folder}",
                field="state_dir",
                value=str(folder),
                hint="Submit to that one, stop it, or give another --state-dir.",
            )
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        yield


def _lock_within(descriptor: int, seconds: float) -> bool:
    """Others hold the lock for a moment, to see whether a stack runs."""
    until = time.monotonic() + seconds
    while not try_lock(descriptor):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def _published(folder: Path, settings: Settings, listener: socket.socket | None) -> Iterator[None]:
    """stack.json while the stack runs. It holds the store's secret, so only its owner reads it."""
    secret = settings.secret_access_key
    assert secret is not None
    values = {
        "bucket": settings.bucket,
        "endpoint_url": settings.endpoint_url,
        "access_key_id": settings.access_key_id,
        "secret_access_key": secret.get_secret_value(),
        "region": settings.region,
        "addressing_style": settings.addressing_style,
        "state_dir": str(settings.state_dir),
        "events_file": str(settings.events_file),
    }
    if listener is not None:
        host, port = listener.getsockname()[:2]
        values |= {"api_host": host, "api_port": str(port)}
    file, new = folder / STACK_FILE, folder / f"{STACK_FILE}.new"
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(values, indent=1))
    new.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def reclaim(store: SafeStore) -> int:
    """Hand back every job that was given to a worker and not begun. How many there were."""
    waiting = {inbox_id(entry.key) for entry in listed(store, INBOX)}
    handed_back = 0
    for entry in listed(store, LEASES):
        id = lease_id(entry.key)
        # One whose entry still stands may lack its manifest; its short claim lapses by itself.
        if id is None or id in waiting:
            continue
        stored = store.get(entry.key)
        lease = None if stored is None else Lease.parse(stored.body)
        if stored is None or lease is None or lease.phase not in (Phase.CLAIMED, Phase.SPAWNED):
            continue
        # It never ran, so it costs no attempt.
        free = lease.waiting(not_before=store.now(), attempt=max(0, lease.attempt - 1))
        outcome = store.replace(entry.key, free.body(), stored.etag)
        handed_back += isinstance(outcome, Won)
    if handed_back:
        structlog.get_logger(__name__).info("reclaimed", jobs=handed_back)
    return handed_back

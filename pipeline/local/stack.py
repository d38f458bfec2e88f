"""The whole pipeline on this machine, over one folder: store, engine with its workers, dispatcher.

<folder>/stack.json      for other processes, as is <folder>/lock: state_folder.py
<folder>/store/          the embedded store: all that was ever submitted and made
<folder>/workers/        logs and working folders of the workers
<folder>/events.jsonl    events, unless PostHog takes them
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Self

from config.errors import StoreUnavailable
from config.settings import Settings, changed
from events.sender import Sender
from handlers.media.intake_process import IntakeProcess
from pipeline.api.concurrency import STORE_CALLS
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.hand_back import hand_back, hand_back_lost
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.dispatcher.memory import DispatcherMemory
from pipeline.dispatcher.reclaim import reclaim
from pipeline.dispatcher.tick import TickReport
from pipeline.engines.local import LocalEngine
from pipeline.engines.machine import Misfit
from pipeline.engines.own_machine import on_this_machine
from pipeline.local.seaweed import SeaweedServer
from pipeline.local.state_folder import hold, publish
from pipeline.notify.sinks import events_file, make_sink
from pipeline.notify.spend_note import note_new_bucket
from pipeline.runtime import RuntimeConfig, load_runtime
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_checked_store

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
        """Notified of work that was just submitted, so that it is not left to the next poll."""
        self.settings: Settings
        self.store: SafeStore
        self.engine: LocalEngine
        self.misfits: tuple[Misfit, ...] = ()
        """Routes that this machine does not serve."""
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
            parts.enter_context(hold(self.folder))
            parts.enter_context(self._server)
            self._server.create_bucket(self._wanted.bucket)
            self.settings = self._resettled()
            runtime, machine = on_this_machine(load_runtime(self.settings, "local"), self._environ)
            self.misfits = machine.misfits
            self.store = open_checked_store(self.settings, STORE_CALLS)
            note_new_bucket(self.store)
            reclaim(self.store, lambda _: True)
            pictures = IntakeProcess()
            parts.callback(pictures.close)
            if self._listener is not None:
                parts.enter_context(self._serving(runtime, self._listener, pictures))
            parts.enter_context(publish(self.folder, self.settings, self._listener))
            sender = Sender(make_sink(self.settings))
            parts.callback(sender.close, DRAIN_SECONDS)
            memory = DispatcherMemory()
            lost = partial(hand_back_lost, self.store, self.settings, memory.lease_cache)
            self.engine = LocalEngine(self.settings, runtime.routes, self._environ, lost, machine)
            parts.callback(lambda: hand_back(self.store, self.engine.close()))
            pool = parts.enter_context(ThreadPoolExecutor(self.settings.dispatch_threads))
            owner = f"local@{socket.gethostname()}:{os.getpid()}"
            dispatcher = Dispatcher(
                *(self.store, self.engine, sender, runtime, pool, owner, memory),
                intake=pictures.intake,
            )
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

    def __exit__(self, *_: object) -> None:
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
    def _serving(
        self, runtime: RuntimeConfig, listener: socket.socket, pictures: IntakeProcess
    ) -> Iterator[None]:
        from pipeline.api.dependencies import ApiDependencies  # noqa: PLC0415  of an extra that not all install
        from pipeline.api.server import served  # noqa: PLC0415

        dependencies = ApiDependencies(
            runtime, self.store, lambda _: self.wakeup.notify(), pictures=pictures
        )
        with served(dependencies, listener):
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

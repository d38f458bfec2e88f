"""What dispatches in a container, opened once and kept for as long as the container lives."""

import os
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from config.settings import Settings, load_settings
from events.sender import Sender
from pipeline.bench import Bench, load_bench
from pipeline.connecting import open_checked_store, open_store
from pipeline.deployed.deployment import ENGINE
from pipeline.dispatcher.announcing import Announcer
from pipeline.dispatcher.leasebook import LeaseBook
from pipeline.dispatcher.tick import Dispatcher
from pipeline.engines.base import Engine
from pipeline.engines.modal import ModalEngine
from pipeline.logs import configure_logs
from pipeline.store.conditional import SafeStore


@dataclass(frozen=True)
class Parts:
    settings: Settings
    bench: Bench
    store: SafeStore
    engine: Engine
    pool: ThreadPoolExecutor
    book: LeaseBook = field(default_factory=LeaseBook)
    announcer: Announcer = field(default_factory=Announcer)

    def dispatcher(self, sender: Sender) -> Dispatcher:
        owner = f"{ENGINE}@{socket.gethostname()}:{os.getpid()}"
        return Dispatcher(
            self.store,
            self.engine,
            sender,
            self.bench,
            self.pool,
            owner,
            book=self.book,
            announcer=self.announcer,
        )


def open_parts(environ: Mapping[str, str], *, checked: bool, threads: int = 0) -> Parts:
    """`checked` makes sure that the bucket can be the queue; else no request is made. `threads` use
    the bucket beside the dispatcher.

    Raises InvalidSetting; checked, also a StoreError.
    """
    settings = load_settings(environ)
    configure_logs(settings)
    return Parts(
        settings,
        load_bench(settings, ENGINE),
        open_checked_store(settings, threads) if checked else open_store(settings, threads),
        ModalEngine(settings),
        ThreadPoolExecutor(settings.dispatch_threads),
    )

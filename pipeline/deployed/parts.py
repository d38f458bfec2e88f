"""What dispatches in a container, opened once and kept for as long as the container lives."""

import os
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from config.errors import InvalidSetting
from config.logs import configure_logs
from config.settings import Settings, load_settings, variable
from events.sender import Sender
from pipeline.deployed.deployment import ENGINE
from pipeline.dispatcher.deploy_event import Announcer
from pipeline.dispatcher.engine import Engine
from pipeline.dispatcher.tick import Dispatcher
from pipeline.engines.modal import ModalEngine
from pipeline.queue.lease_cache import LeaseBook
from pipeline.runtime import Bench, load_bench
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_checked_store, open_store


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
    _require_posthog(settings)
    return Parts(
        settings,
        load_bench(settings, ENGINE),
        open_checked_store(settings, threads) if checked else open_store(settings, threads),
        ModalEngine(settings),
        ThreadPoolExecutor(settings.dispatch_threads),
    )


def _require_posthog(settings: Settings) -> None:
    """A secret may hold a blank key. Without one, events would go to a file that dies with the
    container; while nothing is claimed, nothing is lost."""
    if settings.posthog_api_key is None:
        name = variable("posthog_api_key")
        raise InvalidSetting(
            f"{name} is blank",
            field=name,
            hint=f"modal secret create --force ryla-posthog {name}=phc_..., then deploy again.",
        )

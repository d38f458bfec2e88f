"""Tells of each deployed version once: `modal_app_deployed`, kept in deploys/<version>.json.

Whoever creates that object decides the event: its uuid, its time, its properties. Everybody else
finds it there and sends the same one, until it is marked as delivered. A process looks once, and
again only while the event is owed.
"""

import math
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from config.errors import RylaError
from events.catalogue import AppDeployed, Common
from events.sender import Delivery, Sender
from events.stored_event import StoredEvent, stored
from handlers.json_document import JsonDocument
from handlers.kinds.registry import KINDS
from pipeline.contract.keys import DEPLOYS, deploy_key
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import Lost, SafeStore, listed

PAUSE_S = 60.0
"""Between two tries to send."""
OVERLAP_S = 3600.0
"""How long after a deploy containers of the version before it may still claim jobs."""


class Deploy(JsonDocument):
    """What stands in deploys/<version>.json."""

    v: int = 1
    version: str
    event: StoredEvent
    delivered: bool = False
    """Whether the event has arrived."""


class DeployEventSender:
    """Remembers, for one dispatching process, whether the event is out."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._due = -math.inf

    def send_due(self, store: SafeStore, sender: Sender, runtime: RuntimeConfig) -> None:
        """To be called with each tick. Costs nothing once the event is out; never raises.

        A machine of one's own is no deployment, and announces nothing.
        """
        if not runtime.deployed or self._monotonic() < self._due:
            return
        self._due = math.inf
        try:
            found = _find(store, runtime)
        except RylaError as error:
            self._later(error.message)
            return
        if found is None or found[0].delivered:
            return
        deploy, etag = found
        sender.submit(
            Delivery(
                (deploy.event,),
                on_delivered=lambda: _note(store, deploy, etag),
                on_undelivered=lambda failure: self._later(str(failure)),
            )
        )

    def _later(self, reason: str) -> None:
        structlog.get_logger(__name__).warning("deploy_not_announced", reason=reason)
        self._due = self._monotonic() + PAUSE_S


def newer_is_deployed(store: SafeStore, version: str) -> bool:
    """Whether a later deploy than that of `version` took place within the last OVERLAP_S.

    By the store's clock: versions have no order, and one that is rolled back to is the older one
    only as long as containers of both may run. Costs one LIST. Raises StoreUnavailable or
    StoreDenied.
    """
    written = {entry.key: entry.last_modified for entry in listed(store, DEPLOYS)}
    own = written.get(deploy_key(version))
    if own is None:
        return False
    last = max(written.values())
    return last > own and (store.now() - last).total_seconds() < OVERLAP_S


def _find(store: SafeStore, runtime: RuntimeConfig) -> tuple[Deploy, str] | None:
    """What stands there, written if nothing did. None for bytes that are none of ours."""
    key = deploy_key(runtime.settings.app_version)
    there = store.get(key)
    if there is None:
        first = _first(runtime, store.now())
        outcome = store.create(key, first.body())
        if not isinstance(outcome, Lost):
            return first, outcome.etag
        there = outcome.current
    deploy = None if there is None else Deploy.parse(there.body)
    return None if there is None or deploy is None else (deploy, there.etag)


def _first(runtime: RuntimeConfig, now: datetime) -> Deploy:
    settings = runtime.settings
    common = Common(
        kind=None,
        environment=settings.environment,
        engine=runtime.platform,
        app_version=settings.app_version,
    )
    version = settings.app_version
    event = stored(AppDeployed(kinds=tuple(KINDS)), common, subject=version, at=now)
    return Deploy(version=version, event=event)


def _note(store: SafeStore, deploy: Deploy, etag: str) -> None:
    # Whoever else delivered the same event may have noted it first: either note will do.
    delivered = deploy.model_copy(update={"delivered": True})
    store.replace(deploy_key(deploy.version), delivered.body(), etag)

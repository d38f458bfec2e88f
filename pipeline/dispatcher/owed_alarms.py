"""Alarms of budgets on their way: the event to PostHog, the callback to the operator's address.

    owed/<day>/<budget>[.<tenant>].<percent>.event.json
    owed/<day>/<budget>[.<tenant>].<percent>.callback.json

Each is written before the alarm itself, and deleted when the other side has it. Before each try it
is replaced under its ETag, by one that counts the try and says when the next is due. So of several
dispatchers one sends; where that one dies, another does when the time has come. What arrived just
before a death, or with a lost answer, comes twice, with the same uuid and `webhook-id`.

All of it happens in the sender's threads: a tick pays one LIST at a look.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid4

import structlog

from config.errors import RylaError
from config.settings import Settings
from events.sender import EVENTS, Sender
from events.sink import NotDelivered
from events.stored_event import StoredEvent
from handlers.json_document import JsonDocument
from pipeline.contract.keys import MAX_BYTES, OWED, owed_key
from pipeline.notify.callbacks import Caller
from pipeline.notify.delivery import callback_target, pauses
from pipeline.public_https import INTERNET, PublicHttps, destination_of
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import SafeStore, Won

LOOK_S = 300.0
"""Between two looks at what other dispatchers, or earlier ones, have left."""
OWED_LOOK_S = 15.0
"""The same where something is owed."""
PER_LOOK = 50
"""Keys listed at a look."""
KEPT_S = 7 * 86_400.0
"""What nobody has tried for so long is given up: nobody has its address any more."""


class Part(StrEnum):
    EVENT = "event"
    CALLBACK = "callback"


class OwedAlarm(JsonDocument):
    """What stands in owed/."""

    v: int = 1
    nonce: str
    """A fresh one for each write."""
    alarm: str
    """Its key."""
    event: StoredEvent
    tries: int = 0
    not_before: datetime
    """Of the next try, by the store's clock."""


def payload(owed: OwedAlarm) -> bytes:
    """The body of the callback: the same bytes however often it is sent."""
    said = owed.event.properties
    names = ("budget", "percent", "budget_usd", "spent_usd", "on_exceeded", "tenant", "environment")
    data = {name: said.get(name) for name in names} | {"alarm": owed.alarm}
    document = {"type": "budget.reached", "timestamp": owed.event.timestamp, "data": data}
    return json.dumps(document, separators=(",", ":")).encode()


def alarm_url(runtime: RuntimeConfig, budget: str) -> str | None:
    """Where the alarms of that row go; None for a row that this dispatcher does not have."""
    row = runtime.budgets.budgets.get(budget)
    return None if row is None else row.alarm_url or runtime.settings.alarm_url


@dataclass(frozen=True)
class AlarmPost:
    """The ports of what is sent."""

    store: SafeStore
    sender: Sender
    runtime: RuntimeConfig
    web: PublicHttps = INTERNET

    def parts(self, budget: str) -> tuple[Part, ...]:
        """What an alarm of that row owes."""
        called = alarm_url(self.runtime, budget) is not None
        return (Part.EVENT, Part.CALLBACK) if called else (Part.EVENT,)

    def owe(self, alarm: str, event: StoredEvent, part: Part, now: datetime) -> None:
        """Raises a StoreError."""
        owed = OwedAlarm(nonce=uuid4().hex, alarm=alarm, event=event, not_before=now)
        self.store.create(owed_key(alarm, part), owed.body())

    def send(self, key: str) -> None:
        """Hand what lies at a key of owed/ to the sender. A stranger's object is left alone."""
        part, budget = _parse(key)
        url = alarm_url(self.runtime, budget)
        if part is Part.EVENT:
            self.sender.run(
                lambda: self._try(key, self._deliver), _nothing, lambda _: None, target=EVENTS
            )
        elif part is Part.CALLBACK and url is not None:
            self.sender.run(
                lambda: self._try(key, lambda owed: self._call(url, owed)),
                _nothing,
                lambda _: None,
                target=callback_target(destination_of(url).host),
            )

    def give_up(self, key: str) -> None:
        """A stranger's object is left alone."""
        if _parse(key)[0] is not None:
            self.sender.run(lambda: self._delete_old(key), _nothing, lambda _: None)

    def _delete_old(self, key: str) -> None:
        structlog.get_logger(__name__).error("alarm_given_up", key=key, reason="nobody sends it")
        try:
            self.store.delete(key)
        except RylaError as error:  # of the store, which says nothing about the target
            raise NotDelivered(error.message, tried=False) from None

    def _deliver(self, owed: OwedAlarm) -> None:
        self.sender.deliver((owed.event,))

    def _call(self, url: str, owed: OwedAlarm) -> None:
        caller = Caller(self.runtime.settings, self.store.now, self.web)
        caller.post(url, owed.event.uuid, payload(owed))

    def _try(self, key: str, send: Callable[[OwedAlarm], None]) -> None:
        """Raises NotDelivered."""
        try:
            owed = self._take(key)
            if owed is None:
                raise NotDelivered("it has arrived, or is not due", tried=False)
            self._send_taken(key, owed, send)
        except RylaError as error:  # of the store, which says nothing about the target
            raise NotDelivered(error.message, tried=False) from None

    def _take(self, key: str) -> OwedAlarm | None:
        """What is to be sent by this dispatcher now."""
        stored = self.store.get(key, limit=MAX_BYTES)
        if stored is None:
            return None
        owed, now = OwedAlarm.parse(stored.body), self.store.now()
        if owed is None or now < owed.not_before:
            return None
        tries = owed.tries + 1
        due = now + timedelta(seconds=_pause_s(self.runtime.settings, tries))
        changes = {"nonce": uuid4().hex, "tries": tries, "not_before": due}
        taken = owed.model_copy(update=changes)
        won = isinstance(self.store.replace(key, taken.body(), stored.etag), Won)
        return taken if won else None

    def _send_taken(self, key: str, owed: OwedAlarm, send: Callable[[OwedAlarm], None]) -> None:
        try:
            send(owed)
        except NotDelivered as failure:
            if owed.tries >= self.runtime.settings.event_tries:
                structlog.get_logger(__name__).error(
                    "alarm_given_up", key=key, status=failure.status, reason=str(failure)
                )
                self.store.delete(key)
            raise
        self.store.delete(key)


def _pause_s(settings: Settings, tries: int) -> float:
    """Until it is due again. Not before it is too late for an answer to this try."""
    answer_s = settings.posthog_timeout_seconds + settings.callback_timeout_seconds
    return answer_s + settings.backoff_base_seconds + pauses(settings).pause_s(tries)


def _parse(key: str) -> tuple[Part | None, str]:
    """The part at a key of owed/, and the budget's name, which has no dot."""
    names = key.rpartition("/")[2].split(".")
    known = len(names) >= 4 and names[-2] in [*Part]
    return (Part(names[-2]) if known else None), names[0]


def _nothing() -> None:
    pass


class OwedAlarms:
    """Remembers, for one dispatching process, when to look for alarms that are still owed."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._due = -math.inf
        self._after = ""
        """Where the next look goes on."""

    def send_due(self, post: AlarmPost) -> None:
        """To be called with each tick. One LIST when a look is due and there are budgets; never
        raises."""
        if not post.runtime.budgets.budgets or self._monotonic() < self._due:
            return
        self._due = self._monotonic() + LOOK_S
        try:
            page = post.store.list(OWED, start_after=self._after, limit=PER_LOOK)
        except RylaError as error:
            structlog.get_logger(__name__).warning("owed_alarms_not_read", error=error.message)
            return
        if page.entries:
            self._due = self._monotonic() + OWED_LOOK_S
        self._after = page.entries[-1].key if page.truncated else ""
        for entry in page.entries:
            if (page.date - entry.last_modified).total_seconds() < KEPT_S:
                post.send(entry.key)
            else:
                post.give_up(entry.key)

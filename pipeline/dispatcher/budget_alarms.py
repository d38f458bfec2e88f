"""Tells when a share of a budget has been spent: once for each share, budget and day.

`alarms/<day>/<budget>[.<tenant>].<percent>.json` is created by whoever notices it first, with the
event. What has to arrive of it, the event and the callback, is written down before, and sent until
it has (owed_alarms.py).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import uuid4

import structlog

from events.catalogue import BudgetReached, Common
from events.stored_event import StoredEvent, stored
from pipeline.contract.keys import alarm_key, alarms_folder, owed_key
from pipeline.dispatcher.owed_alarms import AlarmPost
from pipeline.notify.job_events import Origin
from pipeline.queue.budgets import Account, Ledger
from pipeline.store.conditional import SafeStore, Won, listed

PERCENTS = (50, 80, 100)
RAISED_A_TICK = 20
"""Alarms raised in one tick, some five requests each. The others are at the next look."""


@dataclass(frozen=True)
class _Reached:
    account: Account
    percent: int
    day: str
    """The UTC day in its key: of a batch, on which that was sent."""

    @property
    def key(self) -> str:
        row, tenant = self.account.row, self.account.tenant
        return alarm_key(self.day, row if tenant is None else f"{row}.{tenant}", self.percent)


@dataclass
class BudgetAlarms:
    """Remembers what it has told, or found told."""

    _told: set[str] = field(default_factory=set)

    def tell(self, ledger: Ledger, post: AlarmPost, now: datetime) -> int:
        """How many alarms were raised. A LIST for each day of such that this process has not seen;
        `now` is the store's clock. Raises a StoreError."""
        reached = [each for each in _reached(ledger) if each.key not in self._told]
        for day in sorted({each.day for each in reached}):
            folder = alarms_folder(day)
            self._told |= {entry.key for entry in listed(post.store, folder)}
        new = [each for each in reached if each.key not in self._told]
        raised = 0
        for each in islice(new, RAISED_A_TICK):
            raised += _raise(post, each, _event(ledger, each, Origin.of(post.runtime), now), now)
            self._told.add(each.key)
        return raised


def _reached(ledger: Ledger) -> Iterator[_Reached]:
    for account in ledger.accounts():
        share = ledger.spent.get(account, 0.0) / ledger.limit(account)
        day = ledger.table.budgets[account.row].since or ledger.today
        for percent in PERCENTS:
            if share * 100 >= percent:
                yield _Reached(account, percent, day.isoformat())


def _raise(post: AlarmPost, reached: _Reached, event: StoredEvent, now: datetime) -> bool:
    """Whether nobody had before."""
    parts = post.parts(reached.account.row)
    for part in parts:
        post.owe(reached.key, event, part, now)
    if not _create(post.store, reached.key, event):
        return False
    structlog.get_logger(__name__).warning("budget_reached", alarm=reached.key)
    for part in parts:
        post.send(owed_key(reached.key, part))
    return True


def _create(store: SafeStore, key: str, event: StoredEvent) -> bool:
    body = {"v": 1, "nonce": uuid4().hex, "event": event.model_dump(mode="json")}
    return isinstance(store.create(key, json.dumps(body, indent=1).encode()), Won)


def _event(ledger: Ledger, reached: _Reached, origin: Origin, now: datetime) -> StoredEvent:
    account = reached.account
    budget = ledger.table.budgets[account.row]
    event = BudgetReached(
        budget=account.row,
        percent=reached.percent,
        budget_usd=budget.usd,
        spent_usd=round(ledger.spent[account], 4),
        on_exceeded=budget.on_exceeded,
    )
    common = Common(
        kind=None,
        tenant=account.tenant or budget.tenant,  # of a row for each there is always the first
        environment=origin.environment,
        engine=origin.engine,
        app_version=origin.app_version,
    )
    return stored(event, common, subject=reached.key, at=now)

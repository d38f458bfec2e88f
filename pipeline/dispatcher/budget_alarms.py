"""Tells when a share of a budget has been spent: once for each share, budget and day.

`alarms/<day>/<budget>[.<tenant>].<percent>.json` is created by whoever notices it first, with the
event, which he then sends. A bucket's own notification on alarms/ tells others.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

import structlog

from config.budgets import EACH
from events.catalogue import BudgetReached, Common
from events.sender import Sender
from events.stored_event import StoredEvent, stored
from pipeline.contract.keys import alarm_key
from pipeline.notify.job_events import Origin
from pipeline.queue.budgets import Account, Ledger
from pipeline.store.conditional import SafeStore, Won

PERCENTS = (50, 80, 100)


@dataclass
class BudgetAlarms:
    """Remembers what it has told, or found told."""

    _told: set[str] = field(default_factory=set)

    def tell(
        self, ledger: Ledger, store: SafeStore, sender: Sender, origin: Origin, now: datetime
    ) -> int:
        """How many alarms were raised. A create for each that this process has not seen; `now` is
        the store's clock. Raises a StoreError."""
        raised = 0
        for account in ledger.accounts():
            share = ledger.spent.get(account, 0.0) / ledger.limit(account)
            for percent in PERCENTS:
                key = self._key(ledger, account, percent)
                if share * 100 >= percent and key not in self._told:
                    event = _event(ledger, account, percent, key, origin, now)
                    raised += _raise(store, sender, key, event)
                    self._told.add(key)
        return raised

    def _key(self, ledger: Ledger, account: Account, percent: int) -> str:
        since = ledger.table.budgets[account.row].since
        name = account.row if account.tenant is None else f"{account.row}.{account.tenant}"
        return alarm_key((since or ledger.today).isoformat(), name, percent)


def _raise(store: SafeStore, sender: Sender, key: str, event: StoredEvent) -> bool:
    """Whether nobody had before."""
    body = {"v": 1, "nonce": uuid4().hex, "event": event.model_dump(mode="json")}
    if not isinstance(store.create(key, json.dumps(body, indent=1).encode()), Won):
        return False
    structlog.get_logger(__name__).warning("budget_reached", alarm=key)
    sender.best_effort((event,))
    return True


def _event(
    ledger: Ledger, account: Account, percent: int, key: str, origin: Origin, now: datetime
) -> StoredEvent:
    budget = ledger.table.budgets[account.row]
    event = BudgetReached(
        budget=account.row,
        percent=percent,
        budget_usd=budget.usd,
        spent_usd=round(ledger.spent[account], 4),
        on_exceeded=budget.on_exceeded,
    )
    tenant = account.tenant or (budget.tenant if budget.tenant != EACH else None)
    common = Common(
        kind=None,
        tenant=tenant,
        environment=origin.environment,
        engine=origin.engine,
        app_version=origin.app_version,
    )
    return stored(event, common, subject=key, at=now)

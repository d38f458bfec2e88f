"""Reads what a tick's gate goes by: stops/, and spend/ where there are budgets. Once a look, and
only where a job waits or is due."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.contract.lease import Lease
from pipeline.contract.spend_entry import spend_of
from pipeline.dispatcher.gate import OPEN, Gate
from pipeline.dispatcher.route_platforms import route_platforms
from pipeline.queue.backlog import Scan
from pipeline.queue.budgets import Ledger, reserved
from pipeline.queue.lease_cache import LeaseCache
from pipeline.queue.platforms import is_left_to_others
from pipeline.queue.spend_parts import SpendParts
from pipeline.queue.stops import read_stops
from pipeline.runtime import RuntimeConfig
from pipeline.store.base import Entry
from pipeline.store.conditional import SafeStore


@dataclass
class GateReader:
    store: SafeStore
    runtime: RuntimeConfig
    lease_cache: LeaseCache
    entries: Sequence[Entry]
    """The leases, as they were listed before."""
    date: datetime
    """The store's clock then."""
    pool: ThreadPoolExecutor
    """A long listing is made in parts in it."""
    spend_parts: SpendParts
    platforms: frozenset[str] = frozenset()
    """Those that this dispatcher can spawn on, where routes name some."""
    gate: Gate = OPEN
    lists: int = 0
    """LIST requests made."""
    _known: bool = field(default=False)

    def learn(self, scan: Scan) -> None:
        """Have the scan pass over what is held up. Raises a StoreError."""
        if not self._known:
            self._known, self.lists = True, self.lists + 1
            self.gate = Gate(read_stops(self.store), self._ledger(), self._is_left_to_others)
        scan.holds = self.gate.holds_waiting

    def _is_left_to_others(self, lease: Lease, date: datetime) -> bool:
        name = self.runtime.route_of(lease.model)
        if name is None or not self.platforms:
            return False
        route = route_platforms(self.runtime.routes.route(name), self.platforms, self.runtime)
        return is_left_to_others(route, lease, date)

    def _ledger(self) -> Ledger | None:
        table, today = self.runtime.budgets, self.date.astimezone(UTC).date()
        if not table.budgets:
            return None
        ledger = Ledger(table, today, self.runtime.platform)
        self._add_leases(ledger)
        prefixes = [spend_of(*each) for each in table.prefixes(today)]
        for prefix in prefixes:
            costs, lists = self.spend_parts.read(self.store, prefix, self.pool, ledger.unended)
            self.lists += lists
            ledger.add_costs(costs)
        self.spend_parts.forget_others(prefixes)
        return ledger

    def _add_leases(self, ledger: Ledger) -> None:
        found, leases = {}, list[Lease]()
        for held in self.lease_cache.held(self.entries):
            counted = reserved(held, self.lease_cache.last(held.id), self.date)
            if counted is not None:
                found[held.id] = counted
            if held.lease is not None:
                leases.append(held.lease)
        ledger.add_leases(found, leases)

"""What is left of each budget. Pure.

A job counts under every row of budgets.toml that it falls under: with what it has cost, once it has
ended, by its object under spend/; before that by its lease, with what its attempts have cost and
what it may cost yet. Whoever looks lists the leases first and spend/ after, so a job that ends
meanwhile is in one of them at least; one that is in both has ended.

A job that waits for a budget counts what it has cost alone, or those that wait would use up what
they wait for: its take-over is judged like a claim. One whose lease has changed since it was last
read may run again, and counts as if it did.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from threading import Lock

from config.budgets import EACH, Budget, BudgetTable, OnExceeded
from config.errors import BudgetSpent
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.spend_entry import UNITS, SpendEntry
from pipeline.queue.ended_costs import EndedCosts
from pipeline.queue.expiry import ListedLease
from pipeline.queue.retries import is_retrying


@dataclass(frozen=True)
class Payer:
    """Whom a job counts for."""

    tenant: str | None
    platform: str | None
    """None where the job's route names none: then it is the dispatcher's own."""
    batch: str | None = None


@dataclass(frozen=True, order=True)
class Account:
    """A row of budgets.toml, or what it means for one tenant."""

    row: str
    tenant: str | None = None
    """Where the row is for each tenant for itself."""

    def __str__(self) -> str:
        return self.row if self.tenant is None else f"{self.row} of {self.tenant}"


@dataclass(frozen=True)
class Reserved:
    """What a job that has not ended counts for."""

    payer: Payer
    usd: float


def reserved(held: ListedLease, last: Lease | None, now: datetime) -> Reserved | None:
    """Of a lease as listed; `last` is what was read of it last, whatever stands there now. None for
    one that counts nothing. `now` is the store's clock."""
    lease = held.lease or last
    return None if lease is None else reserved_by(lease, now, stands=held.lease is not None)


def reserved_by(lease: Lease, now: datetime, *, stands: bool = True) -> Reserved | None:
    """`stands` says that the lease is as it was read."""
    if lease.committed or lease.vacant:
        return None
    usd = lease.spent.usd
    if not stands or _budget_error(lease) is None:
        usd += max(_estimate(lease), running_usd(lease, now))
    return Reserved(_payer(lease), usd)


def _budget_error(lease: Lease) -> ErrorInfo | None:
    """Of a job that waits for a budget."""
    error = lease.error
    short = is_retrying(lease) and error is not None and error.code == BudgetSpent.code
    return error if short else None


def running_usd(lease: Lease, now: datetime) -> float:
    """What the execution that runs has cost so far."""
    if lease.phase is not Phase.RUNNING or lease.started_at is None:
        return 0.0
    seconds = lease.cold_s + max(0.0, (now - lease.started_at).total_seconds())
    return seconds * lease.rate_usd_per_s


def _estimate(lease: Lease) -> float:
    """What it may cost yet; nothing where no estimate can be made."""
    return 0.0 if lease.estimate_usd is None else lease.estimate_usd


def _payer(lease: Lease) -> Payer:
    return Payer(lease.tenant, lease.platform, lease.batch)


@dataclass
class Ledger:
    """The accounts at one tick. Jobs are judged side by side, and one after the other here."""

    table: BudgetTable
    today: date
    """UTC."""
    platform: str
    """Where this dispatcher runs jobs."""
    spent: defaultdict[Account, float] = field(default_factory=lambda: defaultdict(float))
    """US dollars of ended jobs."""
    _held: defaultdict[Account, float] = field(default_factory=lambda: defaultdict(float))
    """US dollars of those that have not ended."""
    _reserved: dict[str, Reserved] = field(default_factory=dict)
    _parked: set[Account] = field(default_factory=set)
    """Accounts that jobs wait for which were read already: they come first."""
    _lock: Lock = field(default_factory=Lock)

    @property
    def unended(self) -> frozenset[str]:
        """Ids of the jobs that count by their leases."""
        return frozenset(self._reserved)

    def add_ended(self, entries: Iterable[SpendEntry]) -> None:
        """As add_costs."""
        costs = EndedCosts(self.unended)
        for entry in entries:
            costs.add(entry)
        self.add_costs(costs)

    def add_costs(self, costs: EndedCosts) -> None:
        """Of today, and for batches of the days since their rows begin; each day and tenant once.
        Of `unended` jobs, whether they have ended must have been asked."""
        for id in costs.ended:
            self._reserve(id, None)
        for (day, tenant, platform, batch), units in costs.units.items():
            for budget, account in self._of(Payer(tenant, platform, batch)):
                if day >= (budget.since or self.today):
                    self.spent[account] += units / UNITS

    def add_leases(self, found: Mapping[str, Reserved], leases: Iterable[Lease]) -> None:
        """Before what has ended. `leases` as far as they are known."""
        for id, each in found.items():
            self._reserve(id, each)
        for lease in leases:
            if (error := _budget_error(lease)) is not None:
                of_job = (account for _, account in self._of(_payer(lease)))
                self._parked |= {each for each in of_job if each.row == error.value}

    def used(self, account: Account) -> float:
        """US dollars, with what may be spent yet."""
        return self.spent.get(account, 0.0) + self._held.get(account, 0.0)

    def accounts(self) -> list[Account]:
        """All that something counts under, and those of rows that are not by tenant."""
        rows = {Account(name) for name, row in self.table.budgets.items() if row.tenant != EACH}
        return sorted({*rows, *self.spent, *self._held})

    def accounts_of(self, tenant: str | None, batch: str | None) -> list[Account]:
        """Those that a job would count under, on this dispatcher's own platform."""
        payer = Payer(tenant, self.platform, batch)
        return [account for _, account in self._of(payer)]

    def is_waited_for(self, account: Account) -> bool:
        """Whether it is used up, or jobs that were read wait for it."""
        return account in self._parked or self.used(account) >= self.limit(account)

    def limit(self, account: Account) -> float:
        return self.table.budgets[account.row].usd

    def is_closed(self, tenant: str | None) -> bool:
        """Whether no job of the inbox is to be claimed for this tenant, None for one unknown: a
        budget that lets jobs wait is used up, or others that were read wait for it already."""
        return any(
            budget.on_exceeded is OnExceeded.WAIT and self.is_waited_for(account)
            for budget, account in self._of(Payer(tenant, self.platform))
        )

    def is_short_for(self, lease: Lease) -> bool:
        """Whether a job that was read waits for a budget still."""
        short = self._short(lease)
        return short is not None and short[0].on_exceeded is OnExceeded.WAIT

    def take(self, lease: Lease) -> BudgetSpent | None:
        """Count the job as one that runs, or say why it waits. Raises BudgetSpent where it is to be
        refused."""
        needs = lease.spent.usd + _estimate(lease)
        with self._lock:
            short = self._short(lease)
            if short is None:
                self._reserve(lease.id, Reserved(_payer(lease), needs))
                return None
            budget, account = short
            error = self._error(lease, budget, account)
            fits_never = needs > budget.usd
            if budget.on_exceeded is OnExceeded.REFUSE or fits_never:
                raise error
            return error

    def _reserve(self, id: str, what: Reserved | None) -> None:
        before = self._reserved.pop(id, None)
        if before is not None:
            self._hold(before.payer, -before.usd)
        if what is not None:
            self._hold(what.payer, what.usd)
            self._reserved[id] = what

    def _hold(self, payer: Payer, usd: float) -> None:
        for _, account in self._of(payer):
            self._held[account] += usd

    def _short(self, lease: Lease) -> tuple[Budget, Account] | None:
        """The first budget that this job would pass."""
        needs = lease.spent.usd + _estimate(lease)
        for budget, account in self._of(_payer(lease)):
            used = self.used(account) - self._own(lease.id, account)
            if used >= budget.usd or used + needs > budget.usd:
                return budget, account
        return None

    def _own(self, id: str, account: Account) -> float:
        """What this job holds of an account already: nothing of one that it comes under only now,
        as it goes to another platform."""
        own = self._reserved.get(id)
        if own is None:
            return 0.0
        return sum(own.usd for _, each in self._of(own.payer) if each == account)

    def _error(self, lease: Lease, budget: Budget, account: Account) -> BudgetSpent:
        used = self.used(account)
        period = "today" if budget.since is None else f"since {budget.since}"
        return BudgetSpent(
            f"the budget {account} has ${budget.usd:g}, ${used:.4f} of it are spent or reserved"
            f" {period}, and this job may cost ${_estimate(lease):.4f}",
            field="budget",
            value=budget.name,
        )

    def _of(self, payer: Payer) -> Iterator[tuple[Budget, Account]]:
        for name, budget in self.table.budgets.items():
            if budget.tenant not in (None, EACH, payer.tenant):
                continue
            if budget.platform not in (None, payer.platform or self.platform):
                continue
            if budget.batch not in (None, payer.batch):
                continue
            if budget.tenant == EACH:
                if payer.tenant is not None:
                    yield budget, Account(name, payer.tenant)
            else:
                yield budget, Account(name)

"""Why jobs wait although nothing is wrong with them: an operator's stops, and budgets without room.
For people, who ask; a dispatcher decides by its own look."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from config.budgets import Budget, OnExceeded
from pipeline.contract.lease import Lease
from pipeline.contract.stops import Stops
from pipeline.jobs.status import JobView, LeaseWatch, State
from pipeline.queue.budgets import Account, Ledger, reserved_by
from pipeline.queue.spend_reader import read_spend
from pipeline.queue.stops import StandingStop, standing_stops
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import SafeStore

MAY_WAIT = (State.WAITING, State.CLAIMED, State.RETRY)
"""What a job is in that a stop or a budget may keep from a GPU."""


@dataclass(frozen=True)
class BudgetUse:
    """How much of a budget is used up."""

    account: Account
    budget: Budget
    spent_usd: float
    """Of ended jobs."""
    used_usd: float
    """With what jobs that have not ended may cost; of one that no worker has started yet, what its
    attempts before have cost."""
    waited_for: bool
    """Whether jobs wait for it, or will."""

    @property
    def share(self) -> float:
        return self.used_usd / self.budget.usd

    def __str__(self) -> str:
        since = self.budget.since
        return (
            f"the budget {self.account} has ${self.budget.usd:g}, ${self.used_usd:.4f} of it are"
            f" spent or reserved {'today, UTC' if since is None else f'since {since}'}"
        )


@dataclass(frozen=True)
class HoldUps:
    stops: tuple[StandingStop, ...] = ()
    ledger: Ledger | None = None
    """None where nothing is bounded."""

    @property
    def budgets(self) -> list[BudgetUse]:
        return [] if self.ledger is None else [*_uses(self.ledger, self.ledger.accounts())]

    def why(self, tenant: str | None, kind: str | None, batch: str | None = None) -> list[str]:
        """Why a job like this waits, if it has to: the widest stop, and each budget that lets jobs
        wait. None stands for what is not known."""
        scope = Stops(frozenset(stop.scope for stop in self.stops)).over(tenant, kind)
        told = [_of_stop(stop) for stop in self.stops if stop.scope == scope]
        if self.ledger is None:
            return told
        uses = _uses(self.ledger, self.ledger.accounts_of(tenant, batch))
        return told + [
            str(use) for use in uses if use.waited_for and use.budget.on_exceeded is OnExceeded.WAIT
        ]


NOTHING = HoldUps()


def _of_stop(stop: StandingStop) -> str:
    reason = f": {stop.note.reason}" if stop.note.reason else ""
    return (
        f"an operator has stopped {stop.scope} since {stop.since.astimezone(UTC):%Y-%m-%d %H:%M}"
        f" UTC{reason}"
    )


def _uses(ledger: Ledger, accounts: Iterable[Account]) -> Iterator[BudgetUse]:
    for account in accounts:
        yield BudgetUse(
            account,
            ledger.table.budgets[account.row],
            ledger.spent.get(account, 0.0),
            ledger.used(account),
            ledger.is_waited_for(account),
        )


def read_hold_ups(
    store: SafeStore, runtime: RuntimeConfig, held: Iterable[JobView] | None = None
) -> HoldUps:
    """A LIST of stops/ and a GET for each; where there are budgets also a LIST for every 1,000 jobs
    that have ended today, and the leases, unless they are given as `held`, listed before. Raises a
    StoreError."""
    stops = tuple(standing_stops(store))
    if not runtime.budgets.budgets:
        return HoldUps(stops)
    views = LeaseWatch(store).look().values() if held is None else held
    leases = [view.lease for view in views if view.lease is not None]
    return HoldUps(stops, _ledger(store, runtime, leases, store.now()))


def _ledger(
    store: SafeStore, runtime: RuntimeConfig, leases: Sequence[Lease], now: datetime
) -> Ledger:
    ledger = Ledger(runtime.budgets, now.astimezone(UTC).date(), runtime.platform)
    counted = {lease.id: reserved_by(lease, now) for lease in leases}
    ledger.add_leases(
        {id: each for id, each in counted.items() if each is not None},
        leases,
    )
    for day, tenant in runtime.budgets.prefixes(ledger.today):
        ledger.add_ended(read_spend(store, day, tenant))
    return ledger

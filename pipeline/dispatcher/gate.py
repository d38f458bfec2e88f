"""What may keep a job from a GPU although nothing is wrong with it: an operator's stop, and a
budget without room. Asked before a claim or a take-over, as far as the job is known, and again
after it, when its body has said whose it is. By what the tick saw. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from config.errors import RylaError
from pipeline.contract.lease import Lease
from pipeline.contract.stops import NO_STOPS, Stops
from pipeline.queue.admission import Waiting
from pipeline.queue.budgets import Ledger
from pipeline.queue.retries import is_stopped
from pipeline.queue.stops import stopped


@dataclass(frozen=True)
class Gate:
    stops: Stops = NO_STOPS
    ledger: Ledger | None = None
    """None where nothing is bounded."""
    is_left_to_others: Callable[[Lease, datetime], bool] = lambda _, __: False
    """Whether a job that waits for its retry is to be sent by another dispatcher."""

    def holds_waiting(self, job: Waiting) -> bool:
        """Whether a job of the inbox stays there."""
        if self.stops.over(job.tenant, job.model) is not None:
            return True
        return self.ledger is not None and self.ledger.is_closed(job.tenant)

    def holds_retry(self, lease: Lease, date: datetime) -> bool:
        """Whether a job that waits for its retry is not to be taken over. `date` is the store's
        clock: at its deadline it is to end."""
        if lease.deadline is not None and date >= lease.deadline:
            return False
        if is_stopped(lease, self.stops) or self.is_left_to_others(lease, date):
            return True
        return self.ledger is not None and self.ledger.is_short_for(lease)

    def why_waits(self, lease: Lease) -> RylaError | None:
        """Why this job, whose body was read, is handed back; None where it may start. Raises
        BudgetSpent where it is to be refused.

        A stop put after the tick has looked is found by the worker, before it starts the job.
        """
        scope = self.stops.over(lease.tenant, lease.model)
        if scope is not None:
            return stopped(scope)
        return None if self.ledger is None else self.ledger.take(lease)


OPEN = Gate()

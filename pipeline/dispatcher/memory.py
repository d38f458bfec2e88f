"""What a dispatcher's ticks know from those before."""

from dataclasses import dataclass, field

from pipeline.dispatcher.budget_alarms import BudgetAlarms
from pipeline.dispatcher.deploy_event import DeployEventSender
from pipeline.dispatcher.owed_alarms import OwedAlarms
from pipeline.dispatcher.rejection_events import RejectionEvents
from pipeline.dispatcher.spawned_calls import SpawnedCalls
from pipeline.queue.backlog import Backlog
from pipeline.queue.lease_cache import LeaseCache
from pipeline.queue.spend_parts import SpendParts


@dataclass(frozen=True)
class DispatcherMemory:
    """Of one process: the bucket has all that must outlive it, so losing this costs time alone."""

    lease_cache: LeaseCache = field(default_factory=LeaseCache)
    backlog: Backlog = field(default_factory=Backlog)
    spend_parts: SpendParts = field(default_factory=SpendParts)
    deploy_event: DeployEventSender = field(default_factory=DeployEventSender)
    budget_alarms: BudgetAlarms = field(default_factory=BudgetAlarms)
    owed_alarms: OwedAlarms = field(default_factory=OwedAlarms)
    rejection_events: RejectionEvents = field(default_factory=RejectionEvents)
    calls: SpawnedCalls = field(default_factory=SpawnedCalls)

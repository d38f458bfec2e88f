"""Which waiting jobs are claimed next: priority, then fair between tenants, then age.

Everything comes from inbox keys and their listing. `Scan` also says where the listing may skip:
once a group (priority, tenant, model) has as many candidates as its route has free places, the
rest of the group cannot be claimed in this tick, however many there are.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from config.errors import InvalidId
from pipeline.contract.keys import INBOX, InboxName, parse_inbox_key
from pipeline.store.base import Entry

REFUSALS = 64
"""Entries a tick claims of models that no route has: they end in a refusal, not on a GPU."""

Group = tuple[int, str | None, str | None]


@dataclass(frozen=True)
class Waiting:
    name: InboxName
    entry: Entry

    @property
    def group(self) -> Group:
        return (self.name.priority, self.name.tenant, self.name.model)

    @property
    def age_order(self) -> tuple[datetime, str]:
        return (self.entry.last_modified, self.entry.key)


@dataclass(frozen=True)
class Slots:
    """Free places by route."""

    free: Mapping[str, int]
    route_of: Callable[[str], str | None]
    """The route of a model, None for a model that no route has."""

    def of(self, model: str | None) -> int:
        """Free places for a model. A bare key names none: it may turn out to need any route."""
        if model is None:
            return min(self.free.values(), default=0)
        route = self.route_of(model)
        return REFUSALS if route is None else self.free[route]

    def without(self, model: str | None) -> "Slots":
        """What is left when a job of this model has taken its place: a bare one, one of each."""
        taken = {*self.free} if model is None else {self.route_of(model)}
        free = {name: left - (name in taken) for name, left in self.free.items()}
        return Slots(free, self.route_of)


@dataclass
class Scan:
    """Collects candidates page by page, in one pass over the inbox."""

    slots: Slots
    held: frozenset[str]
    """Ids that have a lease already."""
    waiting: list[Waiting] = field(default_factory=list)
    beside_lease: dict[str, Entry] = field(default_factory=dict)
    """Inbox entries of jobs that are held."""
    invalid_entries: list[Entry] = field(default_factory=list)
    """Entries whose name is no job's."""
    skipped: bool = False
    """Whether entries were passed over for want of places."""
    _taken: Counter[Group] = field(default_factory=Counter)

    def take(self, entries: Sequence[Entry]) -> str | None:
        """Take a page in. The key to list after, or None when nothing further can be claimed."""
        for entry in entries:
            self._take(entry)
        if not entries:
            return None
        last = entries[-1].key
        try:
            name = parse_inbox_key(last)
        except InvalidId:
            return last
        group = (name.priority, name.tenant, name.model)
        if self._taken[group] < self.slots.of(name.model):
            return last
        self.skipped = True
        return _after_group(name)

    def _take(self, entry: Entry) -> None:
        try:
            waiting = Waiting(parse_inbox_key(entry.key), entry)
        except InvalidId:
            self.invalid_entries.append(entry)
            return
        if waiting.name.id in self.held:
            self.beside_lease[waiting.name.id] = entry
        elif self._taken[waiting.group] < self.slots.of(waiting.name.model):
            self._taken[waiting.group] += 1
            self.waiting.append(waiting)
        else:
            self.skipped = True


def _after_group(name: InboxName) -> str | None:
    """A key behind the group's last. Keyed groups are ranges; bare ids lie between the digits."""
    if name.tenant is not None:
        return f"{INBOX}{9 - name.priority}.{name.tenant}.{name.model}.\x7f"
    first, second = name.id[0], name.id[1:2]
    if not first.isdigit():
        return None  # Letters come after the digits, and only bare ids begin with one.
    # "4-x" < "4.acme.…" ~ "4.json" < "40": keyed entries lie between the bare ids of their digit.
    if second == "":
        return name.key
    return f"{INBOX}{first}-\x7f" if second == "-" else f"{INBOX}{first}\x7f"


def admit(
    waiting: Iterable[Waiting], slots: Slots, in_flight: Mapping[str | None, int]
) -> list[Waiting]:
    """The jobs to claim, in order. `in_flight` counts each tenant's running jobs (None: bare keys).

    Within a priority the tenant with the fewest jobs in flight is served next, its oldest first.
    """
    served = Counter(in_flight)
    admitted: list[Waiting] = []
    for tenants in _by_priority(waiting):
        turns = [(served[tenant], jobs[0].age_order, tenant) for tenant, jobs in tenants.items()]
        heapq.heapify(turns)
        while turns:
            tenant = heapq.heappop(turns)[-1]
            job = tenants[tenant].popleft()
            if slots.of(job.name.model) > 0:
                slots = slots.without(job.name.model)
                served[tenant] += 1
                admitted.append(job)
            if tenants[tenant]:
                heapq.heappush(turns, (served[tenant], tenants[tenant][0].age_order, tenant))
    return admitted


def _by_priority(waiting: Iterable[Waiting]) -> list[dict[str | None, deque[Waiting]]]:
    """Each priority's tenants, highest first, each with its jobs from the oldest on."""
    levels: dict[int, dict[str | None, deque[Waiting]]] = {}
    for job in sorted(waiting, key=lambda job: job.age_order):
        tenants = levels.setdefault(job.name.priority, {})
        tenants.setdefault(job.name.tenant, deque()).append(job)
    return [levels[priority] for priority in sorted(levels, reverse=True)]

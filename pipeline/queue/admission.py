"""Which waiting jobs are claimed next.

    level = min(9, priority + whole RYLA_AGING_SECONDS waited)

A job of a higher level goes first. At one level, the tenant with the fewest jobs in flight on the
route goes first; then the job that has waited longest; then, of one second, the lower key. A job
whose route has no free slot is passed over, and costs its tenant no turn on another route.

Everything comes from inbox keys and their listing. A bare key says neither tenant nor model: it is
claimed unread when every job that waits finds a slot, whatever it may need, and else when its body
has been read. A deadline stands in no key, so it orders nothing.

A job whose LoRA a job in flight on its route uses counts as RYLA_AGING_SECONDS older among its
equals, if its body happens to have been read. So it passes a job that came before it by less than
that, and no other.

Why every job starts: after (9 - priority) * RYLA_AGING_SECONDS it has level 9. From then on a
younger job goes before it only while the younger one's tenant has fewer jobs in flight on the
route; so its own tenant has some there, and has its turn when they end. In any time that is twice
the longest service, the job starts, or one that came before it. So it starts at the latest after

    (9 - priority) * RYLA_AGING_SECONDS + 2 * (jobs before it on its route + 1) * longest service

and the time until it is listed (backlog.py), whatever else arrives. Among jobs of one tenant it is
the time in which the slots of the route serve those before it. With LoRAs, those that came up to
RYLA_AGING_SECONDS after it count as before it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pipeline.contract.keys import InboxName
from pipeline.store.base import Entry

MAX_LEVEL = 9
"""Of a job, however long it waits; the highest priority."""
REFUSALS = 64
"""Entries a tick claims of models that no route has: they end in a refusal, not on a GPU."""

RouteOf = Callable[[str | None], str | None]
"""The route of a model, None for a model that no route has."""
Share = tuple[str | None, str | None]
"""A tenant and a route."""


@dataclass(frozen=True)
class Contents:
    """What a body says that a bare key does not."""

    tenant: str | None
    model: str
    """Empty where there is none: such a job is refused."""
    loras: tuple[str, ...] = ()
    """Where its LoRA may lie: keys, or a folder that ends in /."""


@dataclass(frozen=True)
class Waiting:
    """A job that waits for a slot, in the inbox or for its retry."""

    name: InboxName
    entry: Entry
    """Of a retry, its age is that of the manifest; of a job that has made room for others, the time
    since."""
    contents: Contents | None = None
    """None until its body has been read."""

    @property
    def tenant(self) -> str | None:
        """None for a bare key that has not been read, as is the model."""
        if self.name.tenant is None and self.contents is not None:
            return self.contents.tenant
        return self.name.tenant

    @property
    def model(self) -> str | None:
        if self.name.model is None and self.contents is not None:
            return self.contents.model
        return self.name.model


@dataclass(frozen=True)
class Slots:
    """Free slots by route."""

    free: Mapping[str | None, int]
    """By route. A model whose route is not among them counts against `refusals`."""
    route_of: RouteOf
    refusals: int = REFUSALS
    """Left for models that no route has."""

    def of(self, model: str) -> int:
        """Free slots for a model."""
        return self.free.get(self.route_of(model), self.refusals)

    def without(self, model: str) -> "Slots":
        """What is left when a job of this model has taken its slot."""
        route = self.route_of(model)
        if route not in self.free:
            return replace(self, refusals=self.refusals - 1)
        return replace(self, free={**self.free, route: self.free[route] - 1})

    def suffice(self, waiting: Iterable[Waiting]) -> bool:
        """Whether each of these jobs finds a slot, whatever its bare ones turn out to need."""
        unread, wanted = 0, Counter[str | None]()
        for job in waiting:
            unread += job.model is None
            wanted[self.route_of(job.model)] += 1
        return all(wanted[route] + unread <= left for route, left in self.free.items())


@dataclass(frozen=True)
class ServiceOrder:
    """What waiting jobs are compared by, at one moment."""

    now: datetime
    """The store's clock."""
    aging_s: float
    route_of: RouteOf
    in_flight: Mapping[Share, int] = field(default_factory=dict)
    """Jobs by tenant and route."""
    loras: Mapping[str | None, frozenset[str]] = field(default_factory=dict)
    """The keys of LoRAs that jobs in flight use, by route."""

    def level(self, job: Waiting) -> int:
        """0 to 9, of a job at this moment."""
        waited_s = (self.now - job.entry.last_modified).total_seconds()
        return aged(job.name.priority, waited_s, self.aging_s)

    def sort(self, waiting: Iterable[Waiting]) -> list[Waiting]:
        """The jobs in the order in which they are served, as far as slots are free."""
        by_level = sorted(waiting, key=lambda job: (-self.level(job), self._age(job)))
        served = Counter(self.in_flight)
        turns = []
        for job in by_level:
            share = self._share(job)
            turns.append((-self.level(job), served[share], self._age(job), job))
            served[share] += 1
        return [job for *_, job in sorted(turns, key=lambda turn: turn[:3])]

    def _share(self, job: Waiting) -> Share:
        return (job.tenant, self.route_of(job.model))

    def _age(self, job: Waiting) -> tuple[datetime, str]:
        head_start = timedelta(seconds=self.aging_s if self._shares_lora(job) else 0)
        return (job.entry.last_modified - head_start, job.entry.key)

    def _shares_lora(self, job: Waiting) -> bool:
        if job.contents is None:
            return False
        used = self.loras.get(self.route_of(job.model), frozenset())
        return any(
            key.startswith(place) if place.endswith("/") else key == place
            for place in job.contents.loras
            for key in used
        )


def aged(priority: int, waited_s: float, aging_s: float) -> int:
    """The level of a job: `priority` and a step for each whole `aging_s` waited, at most
    MAX_LEVEL."""
    return min(MAX_LEVEL, priority + int(max(0.0, waited_s) // aging_s))


def admit(waiting: Collection[Waiting], slots: Slots, order: ServiceOrder) -> list[Waiting]:
    """The jobs to claim, in order."""
    for_all = slots.suffice(waiting)
    admitted: list[Waiting] = []
    for job in order.sort(waiting):
        if job.model is None:
            if for_all:
                admitted.append(job)
        elif slots.of(job.model) > 0:
            slots = slots.without(job.model)
            admitted.append(job)
    return admitted

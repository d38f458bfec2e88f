"""The queue in virtual time: jobs come, a dispatcher looks, workers serve them. Pure.

Which job is claimed, when a route is full, where a claim is spawned and when it goes to another
platform is decided by what decides it in a tick: `admit`, `free_slots`, `service_order`,
`Placements`, `take_over`. Around them stands what a plan can know: a look every
`RYLA_POLL_ACTIVE_SECONDS` while jobs wait, as if a doorbell had rung for the first, and the workers
of each route on each platform. No job fails, none is cancelled, no platform refuses one, and a
character sheet keeps its worker to its end.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import floor

from pipeline.contract.keys import lease_key
from pipeline.contract.lease import Lease, Overflow, Phase
from pipeline.dispatcher.placements import Placements
from pipeline.dispatcher.survey import free_slots, service_order
from pipeline.forecast.crew import Crew, Tally
from pipeline.forecast.expected_job import ExpectedJob
from pipeline.forecast.inbox import Inbox
from pipeline.queue.admission import admit
from pipeline.queue.claim import take_over
from pipeline.queue.expiry import LeaseState, Lifetimes, ListedLease, lease_state
from pipeline.queue.platforms import UNSTARTED
from pipeline.runtime import RuntimeConfig
from pipeline.store.base import Entry

Place = tuple[str, str]
"""A route, and a platform."""
INSTANT_S = 0.001
"""A lease is due when it is older than its life, not as old."""


@dataclass(frozen=True)
class CrewSize:
    """What a route has of workers."""

    most: int
    idle_s: float
    start_s: float
    """From the start of a worker to its first step, beyond what a warm one takes."""


def simulate(
    jobs: Iterable[ExpectedJob],
    runtime: RuntimeConfig,
    crews: Mapping[Place, CrewSize],
    seconds: Callable[[ExpectedJob, str], float],
    now: datetime,
) -> Mapping[Place, Tally]:
    """By route and platform, what its workers did until the last of them ended. `seconds` are what
    a warm worker of a platform takes for a job, `now` is the moment from which `comes_s` counts.
    The jobs of a route that names none of the platforms go to that of `runtime`; where a job may go
    is among `crews`."""
    simulation = _Simulation(runtime, now, frozenset(platform for _, platform in crews))
    simulation.crews = {
        place: Crew(
            *(size.most, size.idle_s, size.start_s, partial(_seconds, seconds, place[1])),
            *(simulation.ended, simulation.started),
            lambda: simulation.clock,
            simulation.at,
        )
        for place, size in crews.items()
    }
    for job in sorted(jobs, key=lambda job: (job.comes_s, job.waiting.entry.last_modified, job.id)):
        simulation.at(job.comes_s, partial(simulation.come, job))
    simulation.run()
    return {name: crew.tally for name, crew in simulation.crews.items()}


def _seconds(
    seconds: Callable[[ExpectedJob, str], float], platform: str, job: ExpectedJob
) -> float:
    return seconds(job, platform)


@dataclass(frozen=True)
class _Claimed:
    job: ExpectedJob
    lease: Lease
    written: datetime

    @property
    def listed(self) -> ListedLease:
        return ListedLease(
            self.job.id, Entry(lease_key(self.job.id), "", 0, self.written), self.lease
        )


@dataclass
class _Simulation:
    runtime: RuntimeConfig
    began: datetime
    platforms: frozenset[str]
    clock: float = 0.0
    crews: Mapping[Place, Crew] = field(default_factory=dict)
    inbox: Inbox = field(default_factory=Inbox)
    in_flight: dict[str, _Claimed] = field(default_factory=dict)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _number: "count[int]" = field(default_factory=count)
    _looking: bool = False
    """Whether a look is due."""

    def at(self, after_s: float, action: Callable[[], None]) -> None:
        heappush(self._events, (self.clock + after_s, next(self._number), action))

    def run(self) -> None:
        while self._events:
            self.clock, _, action = heappop(self._events)
            action()

    def come(self, job: ExpectedJob) -> None:
        self.inbox.add(job)
        self._look_later(0.0 if not self.clock else None)

    def ended(self, job: ExpectedJob) -> None:
        del self.in_flight[job.id]
        if self.inbox:
            self._look_later()

    def started(self, job: ExpectedJob) -> None:
        lease = self.in_flight[job.id].lease
        begun = lease.model_copy(update={"phase": Phase.RUNNING, "started_at": self.date})
        self.in_flight[job.id] = _Claimed(job, begun, self.date)

    @property
    def date(self) -> datetime:
        return self.began + timedelta(seconds=self.clock)

    def _look_later(self, after_s: float | None = None) -> None:
        """At the next beat of the dispatcher's loop."""
        if self._looking:
            return
        self._looking = True
        beat = self.runtime.settings.poll_active_seconds
        following = (floor(self.clock / beat) + 1) * beat
        self.at(following - self.clock if after_s is None else after_s, self._look)

    def _look(self) -> None:
        self._looking = False
        known = [(each.lease, each.written) for each in self.in_flight.values()]
        placements = Placements(self.runtime, self.platforms, known, self.date)
        for each in self._overdue():
            self._overflow(each, placements)
        leases = [each.lease for each in self.in_flight.values()]
        slots = free_slots(self.runtime, leases)
        order = service_order(self.runtime, leases, self.date)
        waiting = self.inbox.first(slots)
        for admitted in admit([job.waiting for job in waiting.values()], slots, order):
            job = waiting[admitted.name.id]
            self.inbox.remove(job)
            placement = placements.claimant("", "", job.kind).placement
            self._give(job, job.lease(placement))

    def _overdue(self) -> list[_Claimed]:
        """Those that no worker has started in the time that they have for it on their platform."""
        lifetimes = Lifetimes.of(self.runtime.settings)
        return [
            each
            for each in self.in_flight.values()
            if each.lease.overflow is Overflow.OPEN
            and each.lease.phase in UNSTARTED
            and lease_state(each.listed, self.date, None, lifetimes) is LeaseState.DUE
        ]

    def _overflow(self, each: _Claimed, placements: Placements) -> None:
        claimant = placements.claimant("", "", None, each.listed)
        taken = take_over(each.listed, None, claimant, self.date).task.lease
        self._crew(each.job, each.lease).give_up(each.job)
        self._crew(each.job, taken).tally.overflowed += 1
        self._give(each.job, taken)

    def _give(self, job: ExpectedJob, lease: Lease) -> None:
        self.in_flight[job.id] = _Claimed(job, lease, self.date)
        if lease.overflow is Overflow.OPEN:
            margin_s = self.runtime.settings.expiry_margin_seconds
            self.at(lease.ttl_s + margin_s + INSTANT_S, self._look_later)
        self._crew(job, lease).put(job)

    def _crew(self, job: ExpectedJob, lease: Lease) -> Crew:
        route = self.runtime.route_of(job.kind) or ""
        return self.crews[route, lease.platform or self.runtime.platform]

"""The queue in virtual time: jobs come, a dispatcher looks, workers serve them. Pure.

Which job is claimed, and when a route is full, is decided by what decides it in a tick: `admit`,
`free_slots`, `service_order`. Around them stands what a plan can know: a look every
`RYLA_POLL_ACTIVE_SECONDS` while jobs wait, as if a doorbell had rung for the first, and the workers
of each route. No job fails, none is cancelled, and a character sheet keeps its worker to its end.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import floor

from pipeline.contract.lease import Lease
from pipeline.dispatcher.survey import free_slots, service_order
from pipeline.forecast.crew import Crew, Tally
from pipeline.forecast.expected_job import ExpectedJob
from pipeline.forecast.inbox import Inbox
from pipeline.queue.admission import admit
from pipeline.runtime import RuntimeConfig


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
    crews: Mapping[str, CrewSize],
    seconds: Callable[[ExpectedJob], float],
    now: datetime,
) -> Mapping[str, Tally]:
    """By route, what its workers did until the last of them ended. `seconds` are what a warm worker
    takes for a job, `now` is the moment from which `comes_s` counts. The route of each job is among
    `crews`."""
    simulation = _Simulation(runtime, now)
    simulation.crews = {
        name: Crew(
            size.most,
            size.idle_s,
            size.start_s,
            seconds,
            simulation.ended,
            lambda: simulation.clock,
            simulation.at,
        )
        for name, size in crews.items()
    }
    for job in sorted(jobs, key=lambda job: (job.comes_s, job.waiting.entry.last_modified, job.id)):
        simulation.at(job.comes_s, partial(simulation.come, job))
    simulation.run()
    return {name: crew.tally for name, crew in simulation.crews.items()}


@dataclass
class _Simulation:
    runtime: RuntimeConfig
    began: datetime
    clock: float = 0.0
    crews: Mapping[str, Crew] = field(default_factory=dict)
    inbox: Inbox = field(default_factory=Inbox)
    in_flight: dict[str, Lease] = field(default_factory=dict)
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
        leases = list(self.in_flight.values())
        slots = free_slots(self.runtime, leases)
        order = service_order(self.runtime, leases, self.began + timedelta(seconds=self.clock))
        waiting = self.inbox.first(slots)
        for each in admit([job.waiting for job in waiting.values()], slots, order):
            job = waiting[each.name.id]
            self.inbox.remove(job)
            self.in_flight[job.id] = job.lease()
            self.crews[self.runtime.route_of(job.kind) or ""].put(job)

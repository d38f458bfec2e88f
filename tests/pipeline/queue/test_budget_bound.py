"""A budget is passed by no more than what ran at a time and one tick's claims of a dispatcher.

Two dispatchers tick over one bucket, each at times in the middle of the other's tick. Processes
die and replies are lost at random calls, and executions take less or more than was estimated.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import pytest

from config.budgets import BudgetTable
from pipeline.contract.lease import Lease, Phase
from pipeline.contract.result import Result
from pipeline.costs import usd_per_second
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.queue.spawn import SpawnPayload
from tests.support.faulty_store import Died, Fault
from tests.support.manifests import body
from tests.support.simulation import RUNTIME, Simulation

JOBS, SLOTS, ROUNDS, USD = 60, 12, 60, 0.02
GPU = RUNTIME.routes.route("Flux").gpus[0]
RATE = usd_per_second(RUNTIME.gpus.gpu(GPU), RUNTIME.routes.route("Flux"), RUNTIME.gpus)
FAULTS = (Fault.DIES_BEFORE, Fault.DIES_AFTER, Fault.REPLY_LOST, Fault.NOT_APPLIED)


class Busy(Simulation):
    """Dispatchers whose ticks overlap, and whose calls go wrong now and then."""

    def __init__(self, random: Random, keyed: bool) -> None:
        row = {"usd": USD}
        routes = RUNTIME.routes.routes
        narrow = routes["Flux"].model_copy(update={"max_in_flight": SLOTS})
        runtime = replace(
            RUNTIME,
            budgets=BudgetTable.model_validate({"budgets": {"total": row}}),
            routes=RUNTIME.routes.model_copy(update={"routes": {**routes, "Flux": narrow}}),
        )
        self.random = random
        self.over = 0.0
        """What executions cost beyond the estimate of their job, US dollars: see note."""
        self.estimate = 0.0
        self.unseen = 0
        """Jobs that one dispatcher claimed in the middle of a tick of the other, at most."""
        self._ticking = self._inside = False
        self._unseen = 0
        self._spent: dict[str, float] = {}
        self._pools: list[ThreadPoolExecutor] = []
        super().__init__(before=_work, runtime=runtime, gpu=GPU)
        for number in range(JOBS):
            name = f"4.acme.flux-dev.j{number:02}" if keyed else f"j{number:02}"
            self.submit(f"inbox/{name}.json", body(tenant="acme", input={"steps": 20}))

    def dispatcher(self) -> Dispatcher:
        self._pools.append(ThreadPoolExecutor(1))
        return replace(super().dispatcher(), pool=self._pools[-1])

    def close(self) -> None:
        super().close()
        for pool in self._pools:
            pool.shutdown()

    def _fault_now(self, number: int) -> Fault | None:
        if self._ticking and not self._inside and self.random.random() < 0.02:
            self._inside, before = True, self.engine.spawned
            super().tick(1)
            self._inside = False
            self._unseen += self.engine.spawned - before
        if self.random.random() < 0.003:
            return self.random.choice(FAULTS)
        return None

    def tick(self, number: int = 0) -> None:
        self._ticking, self._unseen = number == 0, 0
        super().tick(number)
        self._ticking = False
        self.unseen = max(self.unseen, self._unseen)

    @property
    def spent(self) -> float:
        return sum(self._spent.values())

    def note(self) -> None:
        """What each job has cost so far; and what executions cost beyond their estimates since all
        that was out was within the budget."""
        now: dict[str, float] = {}
        out = 0
        for held in self.bucket.bodies("leases/"):
            lease = Lease.parse(held)
            assert lease is not None
            now[lease.id] = lease.spent.usd
            out += lease.phase is not Phase.RETRY
        for entry in self.bucket.list("jobs/").entries:
            stored = self.bucket.get(entry.key) if entry.key.endswith("result.json") else None
            result = None if stored is None else Result.parse(stored.body)
            if result is not None and result.cost is not None:
                now[result.id] = result.cost.total_usd
        for id, usd in now.items():
            more = usd - self._spent.get(id, 0.0)
            self.over += max(0.0, more - self.estimate)
            self._spent[id] = usd
        if self.spent + out * self.estimate <= USD:
            self.over = 0.0  # what runs now is within the budget yet


def _work(simulation: Simulation, payload: SpawnPayload) -> None:
    """An execution of half to twice the time that was estimated; some workers die in it."""
    assert isinstance(simulation, Busy)
    assert payload.lease is not None
    usd = payload.lease.estimate_usd
    assert usd is not None
    simulation.estimate = usd
    seconds = usd / RATE * simulation.random.uniform(0.5, 2.0)
    simulation.pass_time(seconds)
    if simulation.random.random() < 0.03:
        raise Died


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("seed", [0, 2, 7])
def test_no_more_is_spent_than_the_budget_and_what_ran(
    seed: int, keyed: bool, record_property: Callable[[str, object], None]
) -> None:
    simulation = Busy(Random(seed), keyed)
    for _ in range(ROUNDS):
        simulation.tick(0)
        simulation.tick(1)
        simulation.note()
        for payload in simulation.engine.take():
            if simulation.random.random() < 0.7:
                simulation.engine.payloads.append(payload)  # it waits for a worker
                continue
            simulation.execute(payload)
            simulation.note()
        simulation.pass_time(7)
        bound = USD + simulation.over + simulation.unseen * simulation.estimate
        assert simulation.spent <= bound + 1e-9
    record_property("spent", simulation.spent)
    assert simulation.spent > USD / 2
    assert simulation.bucket.list("inbox/").entries
    simulation.close()
